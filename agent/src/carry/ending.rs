//! When carrying ends: nothing uses the address any more, the pod is gone, or the CNI has given the address to somebody else.

use std::{net::IpAddr, sync::Arc, time::Duration};

use godwit_network::carry;
use tokio_util::sync::CancellationToken;

use super::{
    calls,
    entry::{Entry, NodeAt},
};
use crate::{failure::chain, kube_side::NodePods, node::Node};

/// How often the addresses are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Why an address is carried no longer; pure, given what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// No socket of the pod uses it.
    Unused,
    /// The pod that it was carried for, or from, is gone.
    PodGone,
    /// Another pod has been given it.
    NewOwner,
}

/// Looks after the carried addresses of the node until `ended`.
pub async fn keep_watch(node: Arc<Node>, pods: NodePods, ended: CancellationToken) {
    loop {
        tokio::select! {
            () = ended.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        for entry in node.carry.all() {
            if let Some(why) = look(&node, &pods, &entry).await {
                end(&node, &entry, why).await;
            }
        }
    }
}

async fn look(node: &Node, pods: &NodePods, entry: &Entry) -> Option<End> {
    let here = entry.holder == *node.carry.me();
    let owner = pods.owner(IpAddr::V4(entry.address()));
    if !here && owner.is_some_and(|owner| owner != entry.pod_uid) {
        return Some(End::NewOwner);
    }
    if !here && !entry.until_pod_gone {
        return None;
    }
    let Some(netns) = node.carry.netns_of(entry) else {
        return Some(End::PodGone);
    };
    match here.then(|| carry::in_use(&netns, entry.address())) {
        None => None,
        Some(in_use) => match in_use.await {
            Ok(true) => None,
            Ok(false) => Some(End::Unused),
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "whether an address is in use is not known; it stays"
                );
                None
            }
        },
    }
}

async fn end(node: &Arc<Node>, entry: &Entry, why: End) {
    let address = entry.address();
    tracing::info!(%address, ?why, "carrying ends");
    // The other side first: this side's record is what makes us try again.
    for other in [&entry.home, &entry.holder] {
        if other != node.carry.me() && !entry.until_pod_gone && !told(node, other, entry).await {
            return;
        }
    }
    if let Err(error) = node.carry.end(address).await {
        tracing::warn!(%address, error = chain(&error), "carrying could not be ended; it is tried again");
    }
}

async fn told(node: &Arc<Node>, other: &NodeAt, entry: &Entry) -> bool {
    match calls::tell_ended(node, other, entry.address()).await {
        Ok(()) => true,
        Err(failure) => {
            tracing::info!(%failure, other = other.name, "the other node could not be told yet");
            false
        }
    }
}
