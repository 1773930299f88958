//! The network side of a migration: packets are held while the pod is frozen ([`hold`]), the target is not heard before
//! it is let go ([`mute`]), and its address is carried to the other node afterwards ([`carry`]).
//!
//! Everything that this crate installs bears a mark of its own (nftables tables whose name begins with
//! `godwit-`, routes and rules of protocol [`PROTOCOL`]), so that it can be found and removed after a crash.

pub mod carry;
pub mod error;
pub mod hold;
pub mod mute;
pub mod netns;
pub mod probe;

mod arp;
mod backlog;
mod conntrack;
mod kernel;
mod nfnetlink;
mod nft;
mod queue;
mod socket_list;
mod sysctl;

pub use backlog::Backlog;
pub use error::Error;
pub use netns::Netns;

/// Routing protocol number of every route and rule that Godwit installs (`rtm_protocol`, `FRA_PROTOCOL`); free
/// according to `/etc/iproute2/rt_protos` and the kernel's `rtnetlink.h`.
pub const PROTOCOL: u8 = 71;

/// Every nftables table of Godwit begins with this.
pub const TABLE_PREFIX: &str = "godwit-";
