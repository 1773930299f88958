//! A real Kubernetes cluster on one machine, and what tests, benchmarks and the demo need to use it.
//!
//! No Docker, no virtual machine, no registry: a node is a set of namespaces with cgroups of its own, in which the
//! unmodified containerd, runc, kubelet and kube-proxy run.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to its user"
)]

pub mod bench;
pub mod cache;
pub mod cluster;
pub mod command;
pub mod file_lock;
pub mod images;
pub mod init;
pub mod install;
pub mod migration;
pub mod paths;
pub mod recipes;
pub mod suite;
pub mod traffic;

pub use cluster::{Cluster, Node};
