//! The OCI runtime that turns the `create` of a migrated container into its restore, and what belongs to it.
//!
//! Three static binaries use this library: `godwit-runtime` (the wrapper that containerd calls instead of runc), `criu` (the
//! relay that runc finds in `PATH` instead of CRIU) and `godwit-park` (what a parking init container runs). The agent uses
//! [`layout`] and [`record`] to talk to them: through files in root-only directories, never by an annotation or a socket.

pub mod cgroup;
pub mod layout;
pub mod packet;
pub mod process;
pub mod record;
pub mod relay;
pub mod rpc;
pub mod veil;
pub mod watch;
pub mod wrapper;
