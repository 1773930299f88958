//! The pod's old namespace forwards what still arrives there.

use std::net::Ipv4Addr;

use crate::kernel::{
    self, LOCAL, MAIN, Next, destination_of, gateway_of, interface_of, interface_with, route, rule,
    set_route, table_of,
};
use crate::{Error, Netns, sysctl};

/// Table with nothing but the way back to the gateway.
const BACK: u32 = 77;
/// The rule into it must come before the table of local addresses, whose own rule therefore moves to the second place.
const BACK_PREFERENCE: u32 = 1;
const LOCAL_PREFERENCE: u32 = 5;

/// Makes the namespace send every packet that comes in back to its gateway, also those for its own addresses, and stop
/// answering ARP. To be called when the pod will never run there again and nothing waits any more for its output.
/// Idempotent; undone by [`stop_forwarding`].
pub async fn start_forwarding(pod: &Netns, pod_address: Ipv4Addr) -> Result<(), Error> {
    pod.route("forwarding in the old namespace", move |handle| async move {
        let interface = interface_with(&handle, pod_address).await?;
        let name = &interface.name;
        let gateway = kernel::routes(&handle).await?.iter().find_map(|found| {
            let default = table_of(found) == MAIN
                && destination_of(found).1 == 0
                && interface_of(found) == Some(interface.index);
            if default { gateway_of(found) } else { None }
        });
        let gateway = gateway.ok_or_else(|| Error::Missing("the pod's default route".into()))?;
        // Forwarding first: switching it on resets other settings.
        sysctl::write("ipv4/ip_forward", "1")?;
        for scope in ["all", name] {
            sysctl::write(&format!("ipv4/conf/{scope}/send_redirects"), "0")?;
            sysctl::write(&format!("ipv4/conf/{scope}/rp_filter"), "0")?;
        }
        // 8: answer for no local address.
        sysctl::write(&format!("ipv4/conf/{name}/arp_ignore"), "8")?;
        // The frozen process's sockets are still here. Early demultiplexing would tie a packet to one of them, and the
        // kernel drops packets with a socket instead of forwarding them (ip_forward).
        sysctl::write_if_there("ipv4/ip_early_demux", "0")?;
        set_route(
            &handle,
            route(
                BACK,
                (Ipv4Addr::UNSPECIFIED, 0),
                Next::Via(gateway, interface.index),
            ),
        )
        .await?;
        kernel::add_rule(&handle, rule(LOCAL_PREFERENCE, None, None, LOCAL)).await?;
        kernel::add_rule(&handle, rule(BACK_PREFERENCE, None, Some(name), BACK)).await?;
        kernel::remove_rule(&handle, first_rule()).await
    })
    .await
}

/// Makes the namespace an ordinary pod's again. Idempotent.
pub async fn stop_forwarding(pod: &Netns, pod_address: Ipv4Addr) -> Result<(), Error> {
    pod.route(
        "ending the forwarding in the old namespace",
        move |handle| async move {
            let interface = interface_with(&handle, pod_address).await?;
            kernel::add_rule(&handle, first_rule()).await?;
            kernel::remove_rule(&handle, rule(BACK_PREFERENCE, None, Some(&interface.name), BACK)).await?;
            kernel::remove_rule(&handle, rule(LOCAL_PREFERENCE, None, None, LOCAL)).await?;
            kernel::empty_table(&handle, BACK).await?;
            sysctl::write_if_there("ipv4/ip_early_demux", "1")?;
            sysctl::write(&format!("ipv4/conf/{}/arp_ignore", interface.name), "0")?;
            sysctl::write("ipv4/ip_forward", "0")
        },
    )
    .await
}

/// The kernel's own first rule: `0: from all lookup local`, of protocol "kernel".
fn first_rule() -> rtnetlink::packet_route::rule::RuleMessage {
    use rtnetlink::packet_route::route::RouteProtocol;
    use rtnetlink::packet_route::rule::RuleAttribute;
    let mut message = rule(0, None, None, LOCAL);
    for attribute in &mut message.attributes {
        if let RuleAttribute::Protocol(protocol) = attribute {
            *protocol = RouteProtocol::Kernel;
        }
    }
    message
}
