//! One look at every pod of the node, one after the other.

use std::time::Duration;

use godwit_crds::{CheckResult, MAX_REPORT_PODS, PodLook, PodMigrationSpec, is_ignored, told};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use tokio::time::{sleep, timeout};

use super::error::{ReportError, call};
use crate::drain::Drain;
use crate::node::Node;
use crate::preflight::{Subject, look, unseen};

/// A look takes milliseconds; this is for a container runtime that does not answer.
const ONE_POD: Duration = Duration::from_secs(8);
/// After each pod, where nobody waits.
const PAUSE: Duration = Duration::from_millis(200);
/// The same where somebody does.
const SHORT_PAUSE: Duration = Duration::from_millis(10);

/// Looks at every pod of this node that is not ignored, as if a migration with the default spec asked for it. Begins with no pod
/// while a migration is at work here, for as long as that takes. Fails only where the API server does not list the pods.
pub(super) async fn round(node: &Node, drain: &Drain, urgent: bool) -> Result<Vec<PodLook>, ReportError> {
    drain.idle().await;
    let pods = pods(node, urgent).await?;
    let spec = PodMigrationSpec::default();
    let left = spec.timeout.duration().unwrap_or_default();
    let pause = if urgent { SHORT_PAUSE } else { PAUSE };
    let mut looks = Vec::with_capacity(pods.len());
    for pod in &pods {
        drain.idle().await;
        let seen = timeout(
            ONE_POD,
            look(
                node,
                &Subject {
                    pod,
                    spec: &spec,
                    left,
                    // Nobody is asked in its name, for the destination is open.
                    migration: "",
                },
            ),
        )
        .await;
        let (checks, more) = told(seen.unwrap_or_else(|_| vec![silent(&node.name)]), pods.len(), 0);
        looks.push(PodLook {
            uid: pod.uid().unwrap_or_default(),
            checks,
            more,
        });
        sleep(pause).await;
    }
    Ok(looks)
}

/// In the report's order, and no more than it takes.
async fn pods(node: &Node, urgent: bool) -> Result<Vec<Pod>, ReportError> {
    let here = ListParams::default().fields(&format!("spec.nodeName={}", node.name));
    // From the API server's cache, unless somebody has just made a pod and asks about it.
    let here = if urgent { here } else { here.match_any() };
    let listed = call(
        "list this node's pods",
        Api::<Pod>::all(node.client.clone()).list(&here),
    )
    .await?;
    let mut pods: Vec<Pod> = listed.items.into_iter().filter(|pod| !is_ignored(pod)).collect();
    pods.sort_by_key(|pod| (pod.namespace(), pod.name_any()));
    pods.truncate(MAX_REPORT_PODS);
    Ok(pods)
}

fn silent(node: &str) -> CheckResult {
    unseen(format!(
        "the container runtime of node {node} has not answered within {} s; look at it",
        ONE_POD.as_secs()
    ))
}
