//! What an agent does with containers on its node: finding the containers of a pod through CRI, freezing their
//! cgroups, and calling runc (and through it CRIU) so that the call outlives the agent.
//!
//! | module | its one idea |
//! |---|---|
//! | [`cri`] | asks the container runtime, read-only |
//! | [`discover`] | turns a pod's UID into processes, bundles and directories |
//! | [`cgroup`] | freezer and process groups, cgroup v1 and v2 behind one interface |
//! | [`call`] | runs runc in the host's namespaces, with a deadline that survives the agent |
//! | [`checkpoint`] | the one call that dumps a container |
//! | [`images`] | the little that must be known about CRIU's images and logs |
//!
//! The agent runs in a container of its own. Everything here that names a path of the node reaches it through
//! [`host::Host`].

pub mod call;
pub mod cgroup;
pub mod checkpoint;
pub mod cri;
pub mod discover;
pub mod host;
pub mod images;
pub mod process;
