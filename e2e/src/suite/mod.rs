//! What Godwit must do, each as a test in a real cluster, run one after the other.

mod behaviour;
pub mod checks;
mod diagnostics;
mod inside;
mod lab;
mod runner;

pub mod containers;
pub mod endings;
pub mod failures;
pub mod identity;
pub mod logs;
pub mod memory;
pub mod moves;
pub mod nodes;
pub mod owners;
pub mod pod_watch;
pub mod preflight;
pub mod refusals;
pub mod restarts;
pub mod rollout;
pub mod stateful;
pub mod volumes;
pub mod workloads;

pub use behaviour::Behaviour;
pub use lab::{Lab, address_of, node_of, workload_container};
pub use runner::{Tally, in_cluster};

/// Every behaviour, in the order in which they run.
pub fn all() -> impl Iterator<Item = Behaviour> {
    [
        moves::ALL,
        memory::ALL,
        identity::ALL,
        volumes::ALL,
        refusals::ALL,
        failures::ALL,
        restarts::ALL,
        endings::ALL,
        logs::ALL,
        containers::ALL,
        owners::ALL,
        preflight::ALL,
        nodes::ALL,
        stateful::ALL,
        workloads::ALL,
    ]
    .into_iter()
    .flatten()
    .copied()
}
