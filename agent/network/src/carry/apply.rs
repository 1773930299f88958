//! Turning a record into routes, rules and proxy entries of the node, and back.

use std::net::Ipv4Addr;
use std::time::Duration;

use rtnetlink::Handle;

use super::filter::Relaxed;
use super::record::{CarryRecord, Part};
use super::{PREFERENCE, nft_tables_of, table_of};
use crate::kernel::{
    self, Interface, MAIN, Next, destination_of, gateway_of, interface_named, interface_of, remove_proxy,
    route, rule, set_route,
};
use crate::nft::{self, Chain, Hook, Rule};
use crate::{Error, Netns, arp, conntrack};

/// Neighbours ignore an announcement for one second after they learnt an entry (`neigh/*/locktime`), so it is repeated.
const ANNOUNCE: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(1100),
    Duration::from_millis(1400),
];

/// Does what takes time and changes nothing for anybody as long as the pod has not moved: to be called before the freeze or
/// beside it. Idempotent; undone by [`cancel`].
pub async fn prepare(host: &Netns, record: &CarryRecord) -> Result<(), Error> {
    let CarryRecord { address, part, .. } = record.clone();
    host.route("preparing to carry an address", move |handle| async move {
        if comes_back(&part) {
            conntrack::remember(address)?;
        }
        match part {
            Part::Own {
                device,
                uplink,
                old_pod,
                return_by,
                ..
            } => {
                let pod = existing(&handle, &device).await?;
                let uplink = existing(&handle, &uplink).await?;
                let Some((home, by)) = return_by else {
                    return install_own_rules(address, &pod, (&uplink, old_pod), None);
                };
                let by = existing(&handle, &by).await?;
                install_own_rules(address, &pod, (&uplink, old_pod), Some(&by))?;
                return_by_home(&handle, address, &pod, home, &by).await
            }
            Part::Forward { device, old_pod, .. } => {
                match (old_pod, interface_named(&handle, &device).await?) {
                    (Some(ethernet), Some(pods)) => install_forward_rules(address, &pods, ethernet),
                    _ => Ok(()),
                }
            }
        }
    })
    .await
}

/// Takes back [`prepare`] for a move that does not happen. Idempotent.
pub async fn cancel(host: &Netns, record: &CarryRecord) -> Result<(), Error> {
    let CarryRecord { address, part, .. } = record.clone();
    host.route("cancelling a carried address", move |handle| async move {
        conntrack::cancel(address);
        if let Part::Own { .. } = part {
            remove_return(&handle, address).await?;
        }
        nft::remove(&part.nft_table(address))
    })
    .await
}

/// The part takes effect at once: the route flips in one step. Takes about a millisecond. Needs [`prepare`]; to be
/// followed by [`settle`]. Idempotent; undone by [`end`].
pub async fn flip(host: &Netns, record: &CarryRecord) -> Result<(), Error> {
    let CarryRecord {
        address,
        part,
        relaxed,
        ..
    } = record.clone();
    host.route("carrying an address", move |handle| async move {
        if comes_back(&part) {
            conntrack::forget(address)?;
        }
        relaxed.as_ref().map_or(Ok(()), Relaxed::relax)?;
        match part {
            Part::Own {
                pod_address, device, ..
            } => {
                let pod = existing(&handle, &device).await?;
                remove_proxy(&handle, pod.index, address).await?;
                // By way of the pod's own address: then nobody has to ask for the carried one by ARP.
                set_route(
                    &handle,
                    route(MAIN, (address, 32), Next::Via(pod_address, pod.index)),
                )
                .await
            }
            Part::Forward {
                next_hop,
                uplink,
                device,
                answer_arp,
                ..
            } => {
                let uplink = existing(&handle, &uplink).await?;
                set_route(
                    &handle,
                    route(MAIN, (address, 32), Next::Via(next_hop, uplink.index)),
                )
                .await?;
                // A veth of the old pod's own (no bridge) vanishes with the pod.
                let Some(pods) = interface_named(&handle, &device).await? else {
                    return Ok(());
                };
                if answer_arp {
                    kernel::add_proxy(&handle, pods.index, address).await
                } else {
                    Ok(())
                }
            }
        }
    })
    .await
}

/// [`prepare`], [`flip`] and the removal of what another part of this node for this address left; for everything that is not urgent, such as
/// a home that is repointed or a restart of the agent. Idempotent; undone by [`end`].
pub async fn apply(host: &Netns, record: &CarryRecord) -> Result<(), Error> {
    prepare(host, record).await?;
    flip(host, record).await?;
    remove_other_part(host, record).await?;
    restore_filters(host, record).await
}

/// Connections of clients on the pod's last node did not pass through this home while the pod was with them.
fn comes_back(part: &Part) -> bool {
    matches!(
        part,
        Part::Own {
            return_by: None,
            old_pod: None,
            ..
        } | Part::Forward { old_pod: None, .. }
    )
}

async fn remove_other_part(host: &Netns, record: &CarryRecord) -> Result<(), Error> {
    let CarryRecord { address, part, .. } = record.clone();
    host.route(
        "ending the former part for an address",
        move |handle| async move {
            match part {
                Part::Own {
                    return_by: Some(_), ..
                } => {}
                _ => remove_return(&handle, address).await?,
            }
            for table in nft_tables_of(address) {
                if table != part.nft_table(address) {
                    nft::remove(&table)?;
                }
            }
            Ok(())
        },
    )
    .await
}

fn install_forward_rules(address: Ipv4Addr, pods: &Interface, old_pod: [u8; 6]) -> Result<(), Error> {
    // What the old pod lets go was tracked and translated on its first way through this node.
    let chain = Chain {
        name: "again",
        hook: Hook::Prerouting,
        rules: vec![second_way(address, pods, old_pod)],
    };
    nft::replace(&nft_tables_of(address)[1], &[chain])
}

fn second_way(address: Ipv4Addr, pods: &Interface, old_pod: [u8; 6]) -> Rule {
    Rule::default()
        .input_is(pods.index)
        .ethernet_source_is(old_pod)
        .destination_is(address)
        .notrack()
}

/// `uplink` leads to the node that the pod came from, or to the old pod, if that is on this node; `by` to the home, if that is another node.
fn install_own_rules(
    address: Ipv4Addr,
    pod: &Interface,
    (uplink, old_pod): (&Interface, Option<[u8; 6]>),
    by: Option<&Interface>,
) -> Result<(), Error> {
    // A neighbour on the bridge that follows a redirect would bypass this node, which then sees only the replies.
    let output = Chain {
        name: "output",
        hook: Hook::Output,
        rules: vec![Rule::default().redirect_about(address).drop_packet()],
    };
    let arriving = |interface: &Interface| Rule::default().input_is(interface.index).destination_is(address);
    let held = match (old_pod, by) {
        (Some(ethernet), _) => second_way(address, uplink, ethernet),
        (None, Some(_)) => arriving(uplink).notrack(),
        // Held packets that this node sent, and perhaps translated, come back.
        (None, None) => arriving(uplink).sender_is_not_behind(uplink.index).notrack(),
    };
    let rules = match by {
        // What comes from or goes to the home by this address is translated there, if at all: this node only passes it
        // on. Tracked, it would look new, and a service's or masquerading rule would translate it here once more.
        Some(by) => vec![
            arriving(by).notrack(),
            held,
            Rule::default()
                .input_is(pod.index)
                .source_is(address)
                .destination_leaves_by(by.index)
                .notrack(),
        ],
        None => vec![held],
    };
    let passing = Chain {
        name: "passing",
        hook: Hook::Prerouting,
        rules,
    };
    let [table, _] = nft_tables_of(address);
    match nft::replace(&table, &[passing, output.clone()]) {
        // Kernels without nftables' fib expression: only translated connections suffer.
        Err(error) if error.errno() == Some(libc::ENOENT) => nft::replace(&table, &[output]),
        other => other,
    }
}

/// Replies leave by the home node, except to pods of this node.
async fn return_by_home(
    handle: &Handle,
    address: Ipv4Addr,
    pod: &Interface,
    home: Ipv4Addr,
    uplink: &Interface,
) -> Result<(), Error> {
    let table = table_of(address);
    for found in kernel::routes(handle).await? {
        let (network, length) = destination_of(&found);
        let of_this_node = kernel::table_of(&found) == MAIN
            && length > 0
            && gateway_of(&found).is_none()
            && interface_of(&found) != Some(uplink.index);
        if of_this_node {
            set_route(handle, route(table, (network, length), Next::Throw)).await?;
        }
    }
    set_route(
        handle,
        route(table, (Ipv4Addr::UNSPECIFIED, 0), Next::Via(home, uplink.index)),
    )
    .await?;
    kernel::add_rule(handle, rule(PREFERENCE, Some(address), Some(&pod.name), table)).await
}

/// Removes every rule by which packets of the address return, and their table: on a node, or in the pod.
pub(super) async fn remove_return(handle: &Handle, address: Ipv4Addr) -> Result<(), Error> {
    use rtnetlink::packet_route::rule::RuleAttribute;
    for found in kernel::rules(handle).await? {
        if kernel::rule_is_ours(&found) && found.attributes.contains(&RuleAttribute::Source(address.into())) {
            kernel::remove_rule(handle, found).await?;
        }
    }
    kernel::empty_table(handle, table_of(address)).await
}

fn announce(interface: &Interface, address: Ipv4Addr) -> Result<(), Error> {
    match interface.ethernet {
        Some(ethernet) => arp::announce(interface.index, ethernet, address),
        None => Ok(()),
    }
}

/// Announces the address on the pod bridge, three times within 2.5 s, and takes back what was only needed for the
/// packets that were held, or for another part of this node before. To be run beside other work right after [`flip`]:
/// until neighbours believe the announcement the old namespace forwards, which saves the flip the time that the kernel takes to
/// close a packet socket (about 15 ms). Idempotent.
pub async fn settle(host: &Netns, record: &CarryRecord) -> Result<(), Error> {
    remove_other_part(host, record).await?;
    let address = record.address;
    for pause in ANNOUNCE {
        tokio::time::sleep(pause).await;
        let Part::Forward {
            device,
            answer_arp: true,
            ..
        } = record.part.clone()
        else {
            continue;
        };
        host.route("announcing an address", move |handle| async move {
            match interface_named(&handle, &device).await? {
                Some(interface) => announce(&interface, address),
                None => Ok(()),
            }
        })
        .await?;
    }
    restore_filters(host, record).await
}

async fn restore_filters(host: &Netns, record: &CarryRecord) -> Result<(), Error> {
    let relaxed = record.relaxed.clone();
    host.run("restoring filters", move || {
        relaxed.as_ref().map_or(Ok(()), Relaxed::restore)
    })
    .await
}

/// Removes everything that [`apply`] installed on the node for this record. Idempotent, also if the pod is gone.
pub async fn end(host: &Netns, record: &CarryRecord) -> Result<(), Error> {
    let CarryRecord {
        address,
        part,
        relaxed,
        ..
    } = record.clone();
    host.route("ending a carried address", move |handle| async move {
        kernel::remove_host_route(&handle, address).await?;
        remove_return(&handle, address).await?;
        if let Part::Forward { device, .. } = part
            && let Some(interface) = interface_named(&handle, &device).await?
        {
            remove_proxy(&handle, interface.index, address).await?;
        }
        relaxed.as_ref().map_or(Ok(()), Relaxed::restore)?;
        nft_tables_of(address)
            .iter()
            .try_for_each(|table| nft::remove(table))
    })
    .await
}

async fn existing(handle: &Handle, name: &str) -> Result<Interface, Error> {
    interface_named(handle, name)
        .await?
        .ok_or_else(|| Error::Missing(format!("interface {name}")))
}
