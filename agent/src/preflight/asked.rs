//! When a migration asks for a look, and that it gets one.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use godwit_crds::checks::source::CONTAINERS_FOUND;
use godwit_crds::{CheckResult, MigrationPhase, PodMigration, SourceReport, SourceState, Verdict};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use tokio::time::{Instant, timeout};

use super::look::{Subject, look};
use crate::{
    failure::chain,
    kube_side::SourceReporter,
    node::{Node, instant_of},
};

/// The operator waits for 10 s.
const DEADLINE: Duration = Duration::from_secs(8);
/// How long the report is tried to be sent before the task lets it go on by itself.
const FLUSH: Duration = Duration::from_secs(10);

/// True if the plan names this node, the source's, as the one to look, and it has not said yet what it saw. Pure.
pub fn is_asked(migration: &PodMigration) -> bool {
    migration.status.as_ref().is_some_and(|status| {
        status.phase == MigrationPhase::Preflight && status.plan.is_some() && status.source.is_none()
    })
}

/// The looks that are under way.
#[derive(Debug, Default)]
pub struct Looks(Mutex<HashSet<String>>);

impl Looks {
    /// Looks at the pod of a migration that asks for it, in the background, once.
    pub fn begin(self: &Arc<Self>, node: &Arc<Node>, uid: &str, migration: &Arc<PodMigration>) {
        if !self.set().insert(uid.to_owned()) {
            return;
        }
        let (looks, node, uid, migration) = (self.clone(), node.clone(), uid.to_owned(), migration.clone());
        tokio::spawn(async move {
            report(&node, &migration).await;
            looks.set().remove(&uid);
        });
    }

    fn set(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn report(node: &Node, migration: &PodMigration) {
    let Some(reporter) = SourceReporter::start(&node.client, migration) else {
        return;
    };
    let began = Instant::now();
    let preflight = match timeout(DEADLINE, looked(node, migration)).await {
        Ok(Ok(results)) => results,
        Ok(Err(message)) => vec![unseen(message)],
        Err(_) => vec![unseen(format!(
            "neither the API server nor the container runtime of node {} have answered within {} s; try again",
            node.name,
            DEADLINE.as_secs()
        ))],
    };
    tracing::info!(
        name = migration.metadata.name.as_deref().unwrap_or_default(),
        took = ?began.elapsed(),
        refused = preflight.iter().filter(|it| it.verdict == Verdict::Refuse).count(),
        "looked at a pod"
    );
    reporter.report(SourceReport {
        state: SourceState::Looked,
        preflight,
        ..SourceReport::default()
    });
    // If it takes longer, the reporter goes on; this look has ended for all that.
    let _ = reporter.flush(FLUSH).await;
}

/// Fails, with a message, if the pod cannot be read or is another one than the plan's.
async fn looked(node: &Node, migration: &PodMigration) -> Result<Vec<CheckResult>, String> {
    let namespace = migration.metadata.namespace.as_deref().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(node.client.clone(), namespace);
    let plan = migration.status.as_ref().and_then(|status| status.plan.as_ref());
    let uid = plan.map(|plan| plan.source_pod_uid.as_str());
    // By its UID: a stand-in has another name than the migration's pod.
    let here = ListParams::default().fields(&format!("spec.nodeName={}", node.name));
    let here = pods.list(&here).await.map_err(|error| chain(&error))?;
    let pod = here.into_iter().find(|pod| pod.metadata.uid.as_deref() == uid);
    let Some(pod) = pod else {
        return Err("the pod was replaced by another one of the same name; migrate that one".to_owned());
    };
    let subject = Subject {
        pod: &pod,
        spec: &migration.spec,
        left: plan.map_or(Duration::ZERO, |plan| {
            instant_of(plan.deadline.0).saturating_duration_since(Instant::now())
        }),
        migration: migration.metadata.uid.as_deref().unwrap_or_default(),
    };
    Ok(look(node, &subject).await)
}

/// The result of a look that has come to nothing, and why.
pub(crate) fn unseen(message: String) -> CheckResult {
    CheckResult {
        check: CONTAINERS_FOUND.name.to_owned(),
        verdict: Verdict::Refuse,
        message,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn asked(status: &Value) -> bool {
        is_asked(
            &serde_json::from_value(json!({
                "apiVersion": "godwit.dev/v1alpha1", "kind": "PodMigration", "metadata": {"name": "m"},
                "spec": {"podName": "p"}, "status": status,
            }))
            .unwrap(),
        )
    }

    #[test]
    fn a_look_is_asked_for_by_a_plan_in_preflight_until_it_has_been_had() {
        let plan = json!({"sourcePodUid": "u", "sourceNode": "n1", "sourceAddress": "192.0.2.1", "deadline": "2027-01-15T08:00:00Z"});
        assert!(asked(&json!({"phase": "Preflight", "plan": plan})));
        assert!(!asked(&json!({"phase": "Preflight"})));
        assert!(!asked(&json!({"phase": "Preparing", "plan": plan})));
        assert!(!asked(&json!({"phase": "Failed", "plan": plan})));
        assert!(!asked(
            &json!({"phase": "Preflight", "plan": plan, "source": {"state": "Looked"}})
        ));
    }
}
