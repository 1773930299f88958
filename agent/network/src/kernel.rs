//! Addresses, routes, rules and neighbours by rtnetlink; every operation may be repeated.

use std::net::{IpAddr, Ipv4Addr};

use futures::TryStreamExt;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{AddressMessageBuilder, Handle, IpVersion, RouteMessageBuilder};

use crate::{Error, PROTOCOL};

pub(crate) const OURS: RouteProtocol = RouteProtocol::Other(PROTOCOL);
pub(crate) const LOCAL: u32 = 255;
pub(crate) const MAIN: u32 = 254;

/// Makes an error of this crate out of rtnetlink's.
pub(crate) fn refused(what: &str) -> impl FnOnce(rtnetlink::Error) -> Error {
    move |error| match error {
        rtnetlink::Error::NetlinkError(message) => Error::kernel(what, message.to_io()),
        other => Error::kernel(what, std::io::Error::other(other.to_string())),
    }
}

fn unless(errnos: &[i32], result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.errno().is_some_and(|errno| errnos.contains(&errno)) => Ok(()),
        other => other,
    }
}

/// Where packets to an address go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) interface: u32,
    pub(crate) gateway: Option<Ipv4Addr>,
}

/// The kernel's own decision for packets to `address` (`ip route get`).
pub(crate) async fn way_to(handle: &Handle, address: Ipv4Addr) -> Result<Way, Error> {
    let question = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(address, 32)
        .build();
    let mut answers = Box::pin(handle.route().get(question).execute());
    let route = answers
        .try_next()
        .await
        .map_err(refused(&format!("looking up the route to {address}")))?;
    let route = route.ok_or_else(|| Error::Missing(format!("the route to {address}")))?;
    Ok(Way {
        interface: interface_of(&route)
            .ok_or_else(|| Error::Missing(format!("the interface to {address}")))?,
        gateway: gateway_of(&route),
    })
}

pub(crate) fn interface_of(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

pub(crate) fn gateway_of(route: &RouteMessage) -> Option<Ipv4Addr> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    })
}

pub(crate) fn destination_of(route: &RouteMessage) -> (Ipv4Addr, u8) {
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    });
    (
        address.unwrap_or(Ipv4Addr::UNSPECIFIED),
        route.header.destination_prefix_length,
    )
}

pub(crate) fn table_of(route: &RouteMessage) -> u32 {
    let table = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    table.unwrap_or_else(|| u32::from(route.header.table))
}

/// All IPv4 routes of all tables.
pub(crate) async fn routes(handle: &Handle) -> Result<Vec<RouteMessage>, Error> {
    let question = RouteMessageBuilder::<Ipv4Addr>::new().build();
    handle
        .route()
        .get(question)
        .execute()
        .try_collect()
        .await
        .map_err(refused("listing routes"))
}

/// All IPv4 rules.
pub(crate) async fn rules(handle: &Handle) -> Result<Vec<RuleMessage>, Error> {
    handle
        .rule()
        .get(IpVersion::V4)
        .execute()
        .try_collect()
        .await
        .map_err(refused("listing rules"))
}

/// All IPv4 addresses.
pub(crate) async fn addresses(handle: &Handle) -> Result<Vec<AddressMessage>, Error> {
    let all: Vec<AddressMessage> = handle
        .address()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(refused("listing addresses"))?;
    Ok(all
        .into_iter()
        .filter(|message| local_address(message).is_some())
        .collect())
}

pub(crate) fn local_address(message: &AddressMessage) -> Option<Ipv4Addr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
        _ => None,
    })
}

/// What a route of ours does with its packets.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Next {
    /// To this neighbour, which need not be in the interface's subnet.
    Via(Ipv4Addr, u32),
    /// To the destination itself, on this interface.
    OnLink(u32),
    /// Back to the next rule.
    Throw,
}

/// The message of a route of ours.
pub(crate) fn route(table: u32, destination: (Ipv4Addr, u8), next: Next) -> RouteMessage {
    let builder = RouteMessageBuilder::<Ipv4Addr>::new()
        .table_id(table)
        .protocol(OURS);
    let builder = builder.destination_prefix(destination.0, destination.1);
    match next {
        Next::Via(gateway, interface) => builder.gateway(gateway).output_interface(interface).onlink(),
        Next::OnLink(interface) => builder.output_interface(interface).scope(RouteScope::Link),
        Next::Throw => builder.kind(RouteType::Throw),
    }
    .build()
}

/// Installs a route in place of the one to the same destination in the same table.
pub(crate) async fn set_route(handle: &Handle, route: RouteMessage) -> Result<(), Error> {
    let (address, length) = destination_of(&route);
    let what = format!("installing the route to {address}/{length}");
    handle
        .route()
        .add(route)
        .replace()
        .execute()
        .await
        .map_err(refused(&what))
}

/// Removes a route, if it is there.
pub(crate) async fn remove_route(handle: &Handle, route: RouteMessage) -> Result<(), Error> {
    let removed = handle
        .route()
        .del(route)
        .execute()
        .await
        .map_err(refused("removing a route"));
    unless(&[libc::ESRCH, libc::ENODEV], removed)
}

/// Removes our route to exactly this address from the main table, wherever it leads.
pub(crate) async fn remove_host_route(handle: &Handle, address: Ipv4Addr) -> Result<(), Error> {
    for route in routes(handle).await? {
        if route.header.protocol == OURS
            && table_of(&route) == MAIN
            && destination_of(&route) == (address, 32)
        {
            remove_route(handle, route).await?;
        }
    }
    Ok(())
}

/// Removes every route of a table of ours.
pub(crate) async fn empty_table(handle: &Handle, table: u32) -> Result<(), Error> {
    for route in routes(handle).await? {
        if route.header.protocol == OURS && table_of(&route) == table {
            remove_route(handle, route).await?;
        }
    }
    Ok(())
}

/// A rule of ours: packets from `source` and/or from interface `input` look into `table`.
pub(crate) fn rule(
    preference: u32,
    source: Option<Ipv4Addr>,
    input: Option<&str>,
    table: u32,
) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = rtnetlink::packet_route::AddressFamily::Inet;
    message.header.action = RuleAction::ToTable;
    message.header.table = u8::try_from(table).unwrap_or(0);
    message.attributes.push(RuleAttribute::Table(table));
    message.attributes.push(RuleAttribute::Priority(preference));
    message.attributes.push(RuleAttribute::Protocol(OURS));
    if let Some(source) = source {
        message.header.src_len = 32;
        message.attributes.push(RuleAttribute::Source(source.into()));
    }
    if let Some(input) = input {
        message.attributes.push(RuleAttribute::Iifname(input.to_owned()));
    }
    message
}

/// Adds a rule, if it is not there yet.
pub(crate) async fn add_rule(handle: &Handle, rule: RuleMessage) -> Result<(), Error> {
    let mut request = handle.rule().add();
    *request.message_mut() = rule;
    unless(
        &[libc::EEXIST],
        request.execute().await.map_err(refused("adding a rule")),
    )
}

/// Removes a rule, if it is there.
pub(crate) async fn remove_rule(handle: &Handle, rule: RuleMessage) -> Result<(), Error> {
    let removed = handle
        .rule()
        .del(rule)
        .execute()
        .await
        .map_err(refused("removing a rule"));
    unless(&[libc::ENOENT, libc::ESRCH], removed)
}

pub(crate) fn rule_is_ours(rule: &RuleMessage) -> bool {
    rule.attributes.contains(&RuleAttribute::Protocol(OURS))
}

/// The carried address, as it is put on the pod's interface: of scope "host", so that the kernel neither announces it
/// nor picks it for connections that are not bound to it.
fn carried(index: u32, address: Ipv4Addr) -> AddressMessage {
    let mut message = AddressMessageBuilder::<Ipv4Addr>::new()
        .index(index)
        .address(address, 32)
        .build();
    message.header.scope = AddressScope::Host;
    message
}

pub(crate) async fn add_address(handle: &Handle, index: u32, address: Ipv4Addr) -> Result<(), Error> {
    let mut request = handle.address().add(index, address.into(), 32);
    *request.message_mut() = carried(index, address);
    let added = request
        .execute()
        .await
        .map_err(refused(&format!("adding the address {address}")));
    unless(&[libc::EEXIST], added)
}

pub(crate) async fn remove_address(handle: &Handle, index: u32, address: Ipv4Addr) -> Result<(), Error> {
    let removed = handle.address().del(carried(index, address)).execute().await;
    unless(
        &[libc::EADDRNOTAVAIL],
        removed.map_err(refused(&format!("removing the address {address}"))),
    )
}

/// An interface: its index and name, its Ethernet address if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) ethernet: Option<[u8; 6]>,
}

async fn links(handle: &Handle) -> Result<Vec<Interface>, Error> {
    let messages: Vec<_> = handle
        .link()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(refused("listing interfaces"))?;
    Ok(messages
        .into_iter()
        .map(|link| Interface {
            index: link.header.index,
            name: link
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    LinkAttribute::IfName(name) => Some(name.clone()),
                    _ => None,
                })
                .unwrap_or_default(),
            ethernet: link.attributes.iter().find_map(|attribute| match attribute {
                LinkAttribute::Address(address) => address.as_slice().try_into().ok(),
                _ => None,
            }),
        })
        .collect())
}

pub(crate) async fn interface(handle: &Handle, index: u32) -> Result<Interface, Error> {
    let found = links(handle).await?.into_iter().find(|link| link.index == index);
    found.ok_or_else(|| Error::Missing(format!("interface {index}")))
}

pub(crate) async fn interface_named(handle: &Handle, name: &str) -> Result<Option<Interface>, Error> {
    Ok(links(handle).await?.into_iter().find(|link| link.name == name))
}

/// The interface that has this address.
pub(crate) async fn interface_with(handle: &Handle, address: Ipv4Addr) -> Result<Interface, Error> {
    let all = addresses(handle).await?;
    let found = all.iter().find(|message| local_address(message) == Some(address));
    let index = found
        .map(|message| message.header.index)
        .ok_or_else(|| Error::Missing(format!("the address {address}")))?;
    interface(handle, index).await
}

fn proxy(index: u32, address: Ipv4Addr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = rtnetlink::packet_route::AddressFamily::Inet;
    message.header.ifindex = index;
    message.header.flags = NeighbourFlags::Proxy;
    message
        .attributes
        .push(NeighbourAttribute::Destination(NeighbourAddress::Inet(address)));
    message
}

/// Lets the node answer ARP for `address` on this interface (`ip neigh add proxy`).
pub(crate) async fn add_proxy(handle: &Handle, index: u32, address: Ipv4Addr) -> Result<(), Error> {
    let mut request = handle.neighbours().add(index, address.into()).replace();
    *request.message_mut() = proxy(index, address);
    // The flags say which protocol the entry belongs to; `ip neigh show proxy` lists it.
    request
        .message_mut()
        .attributes
        .push(NeighbourAttribute::Protocol(OURS));
    request
        .execute()
        .await
        .map_err(refused(&format!("answering ARP for {address}")))
}

pub(crate) async fn remove_proxy(handle: &Handle, index: u32, address: Ipv4Addr) -> Result<(), Error> {
    let removed = handle.neighbours().del(proxy(index, address)).execute().await;
    unless(
        &[libc::ENOENT, libc::ENODEV],
        removed.map_err(refused(&format!("no longer answering ARP for {address}"))),
    )
}

/// Proxy entries of ours as (interface, address).
pub(crate) async fn proxies(handle: &Handle) -> Result<Vec<(u32, Ipv4Addr)>, Error> {
    let all: Vec<NeighbourMessage> = handle
        .neighbours()
        .get()
        .proxies()
        .execute()
        .try_collect()
        .await
        .map_err(refused("listing neighbours"))?;
    Ok(all
        .into_iter()
        .filter(|message| message.attributes.contains(&NeighbourAttribute::Protocol(OURS)))
        .filter_map(|message| {
            let address = message.attributes.iter().find_map(|attribute| match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(*address),
                _ => None,
            });
            Some((message.header.ifindex, address?))
        })
        .collect())
}
