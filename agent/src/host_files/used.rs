//! Which files those are.

use std::time::Duration;

use godwit_preflight::files::{self, HostFile};
use godwit_preflight::{Container, Pod};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::HostFilesError;
use crate::install::GHOST_LIMIT;
use crate::node::Node;

/// The files of this node that processes of these containers use. Fails if they cannot be read within `limit`; reading goes on then, and what was
/// read is remembered.
pub(crate) async fn used(
    node: &Node,
    containers: Vec<Container>,
    limit: Duration,
) -> Result<Vec<HostFile>, HostFilesError> {
    let pod = Pod {
        proc: node.host.proc.clone(),
        containers,
        ghost_limit: GHOST_LIMIT,
        watches_on_overlay: false,
    };
    let cache = node.host_files.0.clone();
    let reading = async {
        let mut cache = cache.lock_owned().await;
        spawn_blocking(move || files::used(&pod, &mut cache))
            .await
            .map_err(|_| HostFilesError::Thread)
    };
    let slow = || HostFilesError::Slow {
        node: node.name.clone(),
        limit,
    };
    timeout(limit, reading).await.map_err(|_| slow())?
}
