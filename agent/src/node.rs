//! What every migration of this agent shares: the node, and how to reach it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use godwit_container::{call::Launcher, cri::Cri, host::Host};
use godwit_runtime::layout::Layout;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::{carry::CarryKeeper, identity::Identity, journal::JournalDir};

/// One node with its agent.
pub struct Node {
    /// Name of the node.
    pub name: String,
    /// The node's namespaces and files.
    pub host: Host,
    /// Godwit's files as the agent sees them.
    pub layout: Layout,
    /// The same as programs on the node see them.
    pub layout_on_node: Layout,
    /// The container runtime.
    pub cri: Cri,
    /// Where programs of the node are looked for.
    pub search_path: String,
    /// How runtime calls are started.
    pub launcher: Launcher,
    /// The API server.
    pub client: kube::Client,
    /// What must outlive this process.
    pub journals: JournalDir,
    /// Who we are to other agents.
    pub identity: Arc<Identity>,
    /// Port on which agents listen.
    pub port: u16,
    /// Carried addresses.
    pub carry: Arc<CarryKeeper>,
}

impl Node {
    /// A path of the node as the agent sees it.
    pub fn seen(&self, on_node: &std::path::Path) -> PathBuf {
        self.host.path(on_node)
    }
}

/// A deadline given as wall-clock time, on this process's own clock; a past one is now.
pub fn instant_of(deadline: Timestamp) -> Instant {
    let left = deadline.duration_since(Timestamp::now());
    Instant::now() + Duration::try_from(left).unwrap_or_default()
}
