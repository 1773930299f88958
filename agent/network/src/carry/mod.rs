//! A pod's old address is carried to its new node, as long as connections need it. IPv4.
//!
//! An address has a *home*: the node whose CNI gave it out, where the rest of the cluster sends its packets. Packets pass
//! through the home in both directions, so that the connection tracking of every node sees what it saw before:
//! a node that sees one direction only calls the packets invalid, and kube-proxy drops those.
//!
//! What a node has to do is a [`CarryRecord`]: the caller saves it, then calls [`apply`], or, where every millisecond counts,
//! [`prepare`] before the freeze, [`flip`] after the commit and [`settle`] at leisure. Records may be applied again
//! (after a restart of the agent), changed and applied (the pod moved on), and ended by [`end`]. [`sweep`] removes what no record backs.

mod apply;
mod duty;
mod filter;
mod forwarding;
mod presence;
mod record;
mod snapshot;
mod sweep;
mod usage;

pub use apply::{apply, cancel, end, flip, prepare, settle};
pub use duty::{Duties, Duty, duties};
pub use filter::Relaxed;
pub use forwarding::{start_forwarding, stop_forwarding};
pub use presence::{add_address, remove_address, take_over_home};
pub use record::{CarryRecord, Origin, Part, survey_forward, survey_own};
pub use snapshot::{Snapshot, snapshot};
pub use sweep::sweep;
pub use usage::in_use;

use std::net::Ipv4Addr;

/// Preference of our rules, before those of every CNI that is known to use rules (the lowest is Cilium's 9 for its proxy
/// marks, which carried packets do not bear; AWS begins at 512).
const PREFERENCE: u32 = 71;

/// Routing table of a carried address, on a node and in the pod: the address itself as a number, so that every address has its own.
fn table_of(address: Ipv4Addr) -> u32 {
    u32::from(address)
}

/// The nftables tables of a carried address on a node: for owning it and for forwarding it.
fn nft_tables_of(address: Ipv4Addr) -> [String; 2] {
    let prefix = crate::TABLE_PREFIX;
    [
        format!("{prefix}carry-own-{address}"),
        format!("{prefix}carry-forward-{address}"),
    ]
}
