//! The connection of two agents: TLS 1.3 over TCP, with frames and sessions of `godwit-transfer` inside.
//!
//! One task reads, decrypts, checks and hashes; one encrypts and writes; between them and their users are short queues.
//! So a side that is busy still answers pings, and work on two cores overlaps.

mod connection;
mod dial;
mod error;
mod listen;
mod reading;
mod receiver;
pub mod refusal;
mod sender;
mod socket;
#[cfg(test)]
pub(crate) mod tests;
mod timing;
mod writing;

pub use connection::Connection;
pub use dial::{dial, greet, greet_within};
pub use error::PeerError;
pub use listen::{Caller, PeerListener};
pub use receiver::Receiver;
pub use sender::Sender;
pub use timing::Timing;

/// Port on which agents listen, on every node.
pub const PORT: u16 = 9551;
