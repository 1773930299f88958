//! Logs of containers, as kubelet and the container runtime keep them on a node: lines of the form
//! `TIME STREAM TAG CONTENT` in `/var/log/pods/NAMESPACE_NAME_UID/CONTAINER/N.log` (Kubernetes' design proposal "CRI: Log management for
//! container stdout/stderr streams"; containerd and CRI-O write the same). Nothing here knows about migrations.

mod ending;
mod line;
mod outputs;
mod reader;

pub use ending::{Rest, mark_ends, read_to_ends};
pub use line::{END, Stream, without_ends};
pub use outputs::Outputs;
pub use reader::LogReader;
