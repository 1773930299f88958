//! Watching the pods of this node.

use std::net::IpAddr;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::pods_state::{PodEvent, PodsState};
use super::subscribers::Subscribers;

/// The one watch of this node's pods, of all namespaces.
#[derive(Debug, Clone)]
pub struct NodePods {
    shared: Arc<Subscribers<PodsState, PodEvent>>,
}

impl NodePods {
    /// Starts watching; ends only with the token. After any error it goes on with a growing wait.
    pub fn start(client: &Client, node: &str, ended: &CancellationToken) -> Self {
        let pods = Self {
            shared: Arc::new(Subscribers::new()),
        };
        let api: Api<Pod> = Api::all(client.clone());
        let config = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
        tokio::spawn(follow(api, config, Arc::clone(&pods.shared), ended.clone()));
        pods
    }

    /// A new listener: what is there, then every change.
    pub fn subscribe(&self) -> UnboundedReceiver<PodEvent> {
        self.shared.subscribe(PodsState::replay)
    }

    /// UID of the pod of this node to which the CNI gave the address, as far as is known.
    pub fn owner(&self, address: IpAddr) -> Option<String> {
        self.shared.read(|state| state.owner(address).map(str::to_owned))
    }
}

async fn follow(
    api: Api<Pod>,
    config: watcher::Config,
    shared: Arc<Subscribers<PodsState, PodEvent>>,
    ended: CancellationToken,
) {
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    loop {
        let event = tokio::select! {
            () = ended.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            Some(Ok(event)) => shared.update(|state| state.take(event)),
            Some(Err(error)) => info!(%error, "watch of this node's pods interrupted; it goes on by itself"),
            None => return,
        }
    }
}
