//! Everything in a namespace that bears Godwit's mark.

use std::net::Ipv4Addr;

use rtnetlink::packet_route::rule::RuleAttribute;

use crate::kernel::{self, OURS, destination_of, gateway_of, table_of};
use crate::{Error, Netns, nft};

/// What of ours is in a namespace, each list sorted; all empty where nothing is left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Routes as (table, destination, prefix length, gateway).
    pub routes: Vec<(u32, Ipv4Addr, u8, Option<Ipv4Addr>)>,
    /// Rules as (preference, source, table).
    pub rules: Vec<(u32, Option<Ipv4Addr>, u32)>,
    /// Proxy neighbour entries as (interface index, address).
    pub proxies: Vec<(u32, Ipv4Addr)>,
    /// nftables tables.
    pub tables: Vec<String>,
    /// Addresses for which a rule of ours exists in a pod, and which the pod has.
    pub addresses: Vec<Ipv4Addr>,
}

impl Snapshot {
    /// Whether there is nothing of ours.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Lists what of ours is in a namespace.
pub async fn snapshot(netns: &Netns) -> Result<Snapshot, Error> {
    netns
        .route("listing what Godwit installed", |handle| async move {
            let mut found = Snapshot {
                tables: nft::list()?,
                ..Snapshot::default()
            };
            for route in kernel::routes(&handle)
                .await?
                .iter()
                .filter(|route| route.header.protocol == OURS)
            {
                let (network, length) = destination_of(route);
                found
                    .routes
                    .push((table_of(route), network, length, gateway_of(route)));
            }
            for rule in kernel::rules(&handle)
                .await?
                .iter()
                .filter(|rule| kernel::rule_is_ours(rule))
            {
                let mut entry = (0, None, u32::from(rule.header.table));
                for attribute in &rule.attributes {
                    match attribute {
                        RuleAttribute::Priority(preference) => entry.0 = *preference,
                        RuleAttribute::Source(std::net::IpAddr::V4(source)) => entry.1 = Some(*source),
                        RuleAttribute::Table(table) => entry.2 = *table,
                        _ => {}
                    }
                }
                found.rules.push(entry);
            }
            let sources: Vec<_> = found.rules.iter().filter_map(|rule| rule.1).collect();
            let here = kernel::addresses(&handle).await?;
            found.addresses = here
                .iter()
                .filter_map(kernel::local_address)
                .filter(|address| sources.contains(address))
                .collect();
            found.proxies = kernel::proxies(&handle).await?;
            found.routes.sort_unstable();
            found.rules.sort_unstable();
            found.proxies.sort_unstable();
            found.addresses.sort_unstable();
            Ok(found)
        })
        .await
}
