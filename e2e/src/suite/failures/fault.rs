//! Asking an agent to fail at a step, as agents built for tests can.

use anyhow::{Context, Result, ensure};

use crate::Cluster;
use crate::suite::Lab;

use super::subject::SOON;

/// Where agents look.
const FILE: &str = "/run/godwit/fault";

/// Asks the agent of `node` for a fault: `source.Dump=fail`.
pub fn ask(cluster: &Cluster, node: &str, fault: &str) -> Result<()> {
    let path = cluster.node(node)?.path(FILE);
    std::fs::write(&path, fault).with_context(|| format!("write {}", path.display()))
}

/// Fails if the fault was never met: then the migration did not come that far, or no agent knows that step. It is
/// taken back in either case.
pub fn met(cluster: &Cluster, node: &str) -> Result<()> {
    let left = std::fs::read_to_string(cluster.node(node)?.path(FILE)).ok();
    take_back(cluster, node)?;
    ensure!(
        left.is_none(),
        "the agent never came to the fault {}",
        left.unwrap_or_default()
    );
    Ok(())
}

/// Removes a fault that may not have happened.
pub fn take_back(cluster: &Cluster, node: &str) -> Result<()> {
    match std::fs::remove_file(cluster.node(node)?.path(FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("remove the fault"),
        _ => Ok(()),
    }
}

/// Waits until the agent of `node` has come to the fault.
pub async fn reached(lab: &Lab, node: &str) -> Result<()> {
    let path = lab.cluster().node(node)?.path(FILE);
    lab.until("the agent to come to the fault", SOON, async || {
        Ok((!path.exists()).then_some(()))
    })
    .await
}
