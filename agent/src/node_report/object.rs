//! The report's object: watched, made, written.

use std::sync::Arc;

use futures::StreamExt;
use godwit_crds::{AgentLook, NodeReport, NodeReportSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use tokio::sync::watch;
use tracing::info;

use super::error::{ReportError, call};
use super::schedule;
use crate::failure::chain;
use crate::metrics::Metrics;

/// Field manager of `status.agent`.
const MANAGER: &str = "godwit-agent-report";

/// What is known of the object.
#[derive(Clone, Debug, Default)]
enum Known {
    /// Nothing yet.
    #[default]
    Nothing,
    /// There is none.
    Absent,
    /// This.
    There(Arc<NodeReport>),
}

/// The report of one node.
#[derive(Clone)]
pub(super) struct OwnReport {
    client: Client,
    node: String,
    known: watch::Receiver<Known>,
}

impl OwnReport {
    /// Watches it for as long as anybody holds this; its figures go to the metrics.
    pub(super) fn watch(client: &Client, node: &str, metrics: Metrics) -> Self {
        let (sender, known) = watch::channel(Known::Nothing);
        tokio::spawn(follow(Api::all(client.clone()), node.to_owned(), metrics, sender));
        Self {
            client: client.clone(),
            node: node.to_owned(),
            known,
        }
    }

    /// Waits until somebody asks for a look that this process has not given ([`schedule::is_asked`]).
    pub(super) async fn asked(&self, done: Option<&(String, Option<String>)>) {
        let is_asked =
            |known: &Known| matches!(known, Known::There(report) if schedule::is_asked(report, done));
        if self.known.clone().wait_for(is_asked).await.is_err() {
            // The watch has ended, with this process.
            std::future::pending::<()>().await;
        }
    }

    /// The report as it is; made, if there is none.
    pub(super) async fn ensured(&self) -> Result<Arc<NodeReport>, ReportError> {
        let mut known = self.known.clone();
        let seen = async {
            let seen = known.wait_for(|known| !matches!(known, Known::Nothing)).await;
            Ok(seen.map_or(Known::Nothing, |seen| seen.clone()))
        };
        match call("show the node's report", seen).await? {
            Known::There(report) => Ok(report),
            Known::Nothing | Known::Absent => self.make().await.map(Arc::new),
        }
    }

    async fn make(&self) -> Result<NodeReport, ReportError> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let node = call("read this node's object", nodes.get_opt(&self.node)).await?;
        let uid = node.and_then(|node| node.uid());
        let uid = uid.ok_or_else(|| ReportError::NoNode(self.node.clone()))?;
        let mut report = NodeReport::new(&self.node, NodeReportSpec {});
        // It goes with the node.
        report.metadata.owner_references = Some(vec![OwnerReference {
            api_version: Node::api_version(&()).into_owned(),
            kind: Node::kind(&()).into_owned(),
            name: self.node.clone(),
            uid,
            ..OwnerReference::default()
        }]);
        let reports: Api<NodeReport> = Api::all(self.client.clone());
        call(
            "make the node's report",
            reports.create(&PostParams::default(), &report),
        )
        .await
    }

    /// Writes what was seen; a conflict, not another object's status, if it was replaced meanwhile.
    pub(super) async fn write(&self, report: &NodeReport, look: &AgentLook) -> Result<(), ReportError> {
        let patch = Patch::Apply(json!({
            "apiVersion": NodeReport::api_version(&()),
            "kind": NodeReport::kind(&()),
            "metadata": {"name": self.node, "uid": report.metadata.uid},
            "status": {"agent": look},
        }));
        let parameters = PatchParams::apply(MANAGER).force();
        let reports: Api<NodeReport> = Api::all(self.client.clone());
        let sent = reports.patch_status(&self.node, &parameters, &patch);
        call("write the node's report", sent).await.map(drop)
    }
}

async fn follow(api: Api<NodeReport>, node: String, metrics: Metrics, sender: watch::Sender<Known>) {
    let mut objects = std::pin::pin!(watch_object(api, &node).default_backoff());
    let mut said = false;
    loop {
        let object = tokio::select! {
            () = sender.closed() => return,
            object = objects.next() => object,
        };
        match object {
            Some(Ok(object)) => {
                said = false;
                let status = object.as_ref().and_then(|report| report.status.as_ref());
                metrics.node_report(status);
                sender.send_replace(object.map_or(Known::Absent, |report| Known::There(Arc::new(report))));
            }
            // Once: without a definition this would be for ever.
            Some(Err(error)) if !said => {
                said = true;
                info!(
                    error = chain(&error),
                    "the watch of this node's report is interrupted; it goes on by itself. Without a definition of NodeReport there are no \
                     reports: kubectl apply --server-side -f charts/godwit/crds"
                );
            }
            Some(Err(_)) => {}
            None => return,
        }
    }
}
