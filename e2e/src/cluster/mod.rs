//! A real Kubernetes cluster whose nodes are namespaces of this machine.

pub mod cgroups;
pub mod control_plane;
pub mod handle;
pub mod kubeconfig;
pub mod lend;
pub mod network;
pub mod node_files;
pub mod node_spec;
pub mod pki;
pub mod plan;
pub mod process;
pub mod spawn;
pub mod start;
pub mod state;
pub mod teardown;

pub use handle::{Cluster, Node};
