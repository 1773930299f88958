//! The node side of Godwit: an agent on each node that checkpoints, ships and restores the containers of a pod.

pub mod appear;
pub mod called_off;
pub mod carry;
pub mod cli;
pub mod drain;
pub mod engine;
pub mod failure;
pub mod fault;
pub mod files;
pub mod health;
pub mod identity;
pub mod install;
pub mod journal;
pub mod kube_side;
pub mod metrics;
pub mod netns;
pub mod node;
pub mod peer;
pub mod progress;
mod reasons;
pub mod run;
pub mod source;
pub mod step;
pub mod talk;
pub mod target;
pub mod telemetry;
pub mod verdicts;
