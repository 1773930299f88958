//! The relay between runc and CRIU: what runc finds in `PATH` under the name `criu`.
//!
//! runc starts `criu swrk FD` and speaks CRIU's RPC over FD, a `SOCK_SEQPACKET` socket. The relay starts the real CRIU at once, but lets
//! a DUMP or RESTORE through only when the agent opens the gate. So all that runc and CRIU do before (starting, asking for
//! versions, preparing cgroups and mounts) is done while the container still runs, or while its images still travel.
//! At a restore it freezes the container at CRIU's notification `pre-resume`, before its first instruction.
//!
//! Two processes: the *launcher*, whom runc knows, becomes the real CRIU by exec, so that runc sees CRIU's own exit status and the
//! restored process, which CRIU makes as its sibling (`rst_sibling`), is runc's child as ever. The *relay* is a copy of the
//! launcher made as its sibling; it holds none of the container's descriptors.

mod error;
mod gate;
mod hold;
mod launcher;
mod lazy;
mod session;

pub use error::RelayError;
pub use launcher::main;

/// Environment: the directory of the gate's files. Without it the launcher only becomes the real CRIU.
pub const ENV_GATE_DIR: &str = "GODWIT_GATE_DIR";
/// Environment: until when to wait at the gate, in milliseconds since 1970. Left out: two minutes from the start.
pub const ENV_GATE_DEADLINE_MS: &str = "GODWIT_GATE_DEADLINE_MS";
/// Environment: `1` has a restored container frozen before its first instruction.
pub const ENV_HOLD: &str = "GODWIT_HOLD";
/// Environment: `1` makes the dump or restore a lazy one: see [`crate::record::Record::lazy`] for the restore. A lazy dump has all images but the
/// content of private anonymous memory, which the pagemaps call lazy; it is dumped by somebody else.
pub const ENV_LAZY: &str = "GODWIT_LAZY";
/// The other value of [`ENV_LAZY`]: a lazy dump in which nothing is hidden from CRIU (see [`crate::veil`]): the same result, only slower. For comparison.
pub const LAZY_UNVEILED: &str = "unveiled";
