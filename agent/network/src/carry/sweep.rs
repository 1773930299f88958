//! After a crash: what no record backs is removed.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use rtnetlink::packet_route::rule::RuleAttribute;

use super::record::CarryRecord;
use super::{nft_tables_of, table_of};
use crate::kernel::{self, MAIN, OURS, destination_of};
use crate::{Error, Netns, TABLE_PREFIX, nft};

/// Removes from the node every route, rule, proxy entry and nftables table of ours that belongs to no address in
/// `records`; the records themselves are to be applied again by the caller. Idempotent.
pub async fn sweep(host: &Netns, records: &[CarryRecord]) -> Result<(), Error> {
    let kept: BTreeSet<Ipv4Addr> = records.iter().map(|record| record.address).collect();
    host.route("sweeping carried addresses", move |handle| async move {
        for route in kernel::routes(&handle).await? {
            let table = kernel::table_of(&route);
            let backed = kept.iter().any(|address| {
                table == table_of(*address) || (table == MAIN && destination_of(&route) == (*address, 32))
            });
            if route.header.protocol == OURS && !backed {
                kernel::remove_route(&handle, route).await?;
            }
        }
        for rule in kernel::rules(&handle).await? {
            let backed = kept.iter().any(|address| {
                rule.attributes
                    .contains(&RuleAttribute::Source((*address).into()))
            });
            if kernel::rule_is_ours(&rule) && !backed {
                kernel::remove_rule(&handle, rule).await?;
            }
        }
        for (index, address) in kernel::proxies(&handle).await? {
            if !kept.contains(&address) {
                kernel::remove_proxy(&handle, index, address).await?;
            }
        }
        let carry = format!("{TABLE_PREFIX}carry-");
        for table in nft::list()? {
            if table.starts_with(&carry)
                && !kept
                    .iter()
                    .any(|address| nft_tables_of(*address).contains(&table))
            {
                nft::remove(&table)?;
            }
        }
        Ok(())
    })
    .await
}
