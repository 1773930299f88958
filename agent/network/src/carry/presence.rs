//! The carried address inside the pod that it is carried to.

use std::net::Ipv4Addr;

use super::apply::remove_return;
use super::{PREFERENCE, table_of};
use crate::arp;
use crate::kernel::{
    self, MAIN, Next, destination_of, gateway_of, interface_of, interface_with, route, rule, set_route,
};
use crate::{Error, Netns, sysctl};

/// Gives the pod the carried address, before the restore, and lets its replies go by the gateway. Nothing is announced
/// and no ARP question about it is answered: no packet may come before the sockets are back, or the kernel would reset the connection.
/// Idempotent; undone by [`remove_address`].
pub async fn add_address(pod: &Netns, pod_address: Ipv4Addr, address: Ipv4Addr) -> Result<(), Error> {
    pod.route("adding the carried address", move |handle| async move {
        let interface = interface_with(&handle, pod_address).await?;
        let name = &interface.name;
        // 3: answer for addresses that are not of scope "host"; the carried one is.
        sysctl::write(&format!("ipv4/conf/{name}/arp_ignore"), "3")?;
        sysctl::write(&format!("ipv4/conf/{name}/arp_announce"), "2")?;
        sysctl::write(&format!("ipv4/conf/{name}/arp_notify"), "0")?;
        // Replies to neighbours make a detour by the gateway, which may suggest the direct way: that way would hide half
        // of the connection from the node's connection tracking.
        sysctl::write("ipv4/conf/all/accept_redirects", "0")?;
        sysctl::write(&format!("ipv4/conf/{name}/accept_redirects"), "0")?;
        // Of its own: the neighbours of one address are not those of another one.
        let table = table_of(address);
        let routes = kernel::routes(&handle).await?;
        for found in routes
            .iter()
            .filter(|found| kernel::table_of(found) == MAIN && interface_of(found) == Some(interface.index))
        {
            let (network, length) = destination_of(found);
            match gateway_of(found) {
                Some(gateway) if length == 0 => {
                    set_route(
                        &handle,
                        route(table, (network, 0), Next::Via(gateway, interface.index)),
                    )
                    .await?;
                }
                // At home the neighbours reach the pod directly, so it replies directly.
                None if contains(network, length, address) => {
                    set_route(
                        &handle,
                        route(table, (network, length), Next::OnLink(interface.index)),
                    )
                    .await?;
                }
                _ => {}
            }
        }
        kernel::add_rule(&handle, rule(PREFERENCE, Some(address), None, table)).await?;
        kernel::add_address(&handle, interface.index, address).await
    })
    .await
}

/// Takes the address away again. Idempotent. Sysctls stay: they do no harm, and another carried address may need them.
pub async fn remove_address(pod: &Netns, pod_address: Ipv4Addr, address: Ipv4Addr) -> Result<(), Error> {
    pod.route("removing the carried address", move |handle| async move {
        let interface = interface_with(&handle, pod_address).await?;
        kernel::remove_address(&handle, interface.index, address).await?;
        remove_return(&handle, address).await
    })
    .await
}

/// The pod is at the address's home again: it answers ARP itself, and tells its neighbours. Not urgent: until they know,
/// the node passes their packets on.
pub async fn take_over_home(pod: &Netns, pod_address: Ipv4Addr, address: Ipv4Addr) -> Result<(), Error> {
    pod.route("answering for the carried address", move |handle| async move {
        let interface = interface_with(&handle, pod_address).await?;
        sysctl::write(&format!("ipv4/conf/{}/arp_ignore", interface.name), "1")?;
        match interface.ethernet {
            Some(ethernet) => arp::announce(interface.index, ethernet, address),
            None => Ok(()),
        }
    })
    .await
}

fn contains(network: Ipv4Addr, length: u8, address: Ipv4Addr) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
    length > 0 && u32::from(network) & mask == u32::from(address) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        let home = Ipv4Addr::new(10, 244, 1, 0);
        assert!(contains(home, 24, Ipv4Addr::new(10, 244, 1, 7)));
        assert!(!contains(home, 24, Ipv4Addr::new(10, 244, 2, 7)));
        assert!(!contains(Ipv4Addr::UNSPECIFIED, 0, Ipv4Addr::new(10, 244, 2, 7)));
        assert!(contains(
            Ipv4Addr::new(10, 244, 1, 7),
            32,
            Ipv4Addr::new(10, 244, 1, 7)
        ));
    }
}
