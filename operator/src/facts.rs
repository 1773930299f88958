//! What one reconcile knows, and the questions that decisions ask of it. No client.

use std::sync::Arc;

use godwit_crds::{AGENT_READY_LABEL, MIGRATION_UID_ANNOTATION, PodMigration, SourceState, TargetState};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

use crate::claim::Claim;
use crate::containers;
use crate::known_node::KnownNode;
use crate::owner::Owner;
use crate::relay::{Relay, Role};

/// Taint by which an administrator says that a node is shut down and none of its pods can run.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// Everything that a decision may depend on, fetched before it.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The migration, fresh from the API server.
    pub migration: PodMigration,
    /// The pod that has the name in the spec now; not necessarily the one in the plan.
    pub source: Option<Pod>,
    /// The pod that has the target pod's name now; not necessarily one of ours.
    pub target: Option<Pod>,
    /// During preflight every node that may matter, later on those of the plan. A planned node that is missing here
    /// has no `Node` object.
    pub nodes: Vec<Arc<KnownNode>>,
    /// Other migrations of the same pod. Filled during preflight only.
    pub others: Vec<PodMigration>,
    /// The migration that made the source pod, if it came by one whose object is still there. Filled during preflight
    /// only.
    pub maker: Option<PodMigration>,
    /// What the API server says against the target pod, asked in a dry run. Filled during preflight only.
    pub target_refusal: Option<String>,
    /// The object of the pod's owner, where its kind is one that Godwit knows. Filled during preflight, preparing and
    /// finishing only.
    pub owner: Option<Owner>,
    /// What is behind the claims of the source pod. Filled during preflight only.
    pub claims: Vec<Claim>,
    /// What the migration is among others. Known up to preparing.
    pub role: Role,
    /// Of a migration in legs. Its `source` is the pod that has the name, its `target` the stand-in.
    pub relay: Relay,
}

impl Observed {
    /// The migration's UID, empty for an object that was never stored.
    pub fn uid(&self) -> &str {
        self.migration.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The node of that name, if it has an object.
    pub fn node(&self, name: &str) -> Option<&KnownNode> {
        self.nodes
            .iter()
            .find(|node| node.name_any() == name)
            .map(Arc::as_ref)
    }

    /// The source pod of the plan; another pod of its name does not count, nor one whose containers have all ended.
    pub fn planned_source(&self) -> Option<&Pod> {
        let plan = self.migration.status.as_ref()?.plan.as_ref()?;
        self.source
            .as_ref()
            .filter(|pod| pod.metadata.uid.as_deref() == Some(&plan.source_pod_uid) && !has_ended(pod))
    }

    /// The target pod that this migration made.
    pub fn own_target(&self) -> Option<&Pod> {
        self.target.as_ref().filter(|pod| {
            pod.annotations()
                .get(MIGRATION_UID_ANNOTATION)
                .map(String::as_str)
                == Some(self.uid())
        })
    }

    /// True when somebody asked for an end: `spec.cancel`, or the object is being deleted.
    pub fn wants_cancel(&self) -> bool {
        self.migration.spec.cancel || self.migration.metadata.deletion_timestamp.is_some()
    }

    /// Last word of the source's agent since it has begun; that it has looked at the pod before is none.
    pub fn source_state(&self) -> Option<SourceState> {
        self.migration
            .status
            .as_ref()?
            .source
            .as_ref()
            .map(|report| report.state)
            .filter(|state| *state != SourceState::Looked)
    }

    /// Last word of the target's agent.
    pub fn target_state(&self) -> Option<TargetState> {
        self.migration
            .status
            .as_ref()?
            .target
            .as_ref()
            .map(|report| report.state)
    }

    /// True when Kubernetes says that nothing can run on the node: it has no object, or it is tainted out of service.
    pub fn is_surely_dead(&self, node: &str) -> bool {
        self.node(node).is_none_or(is_out_of_service)
    }
}

/// Name and UID of a pod; `None` for one that the API server does not have.
pub fn identity(pod: &Pod) -> Option<(String, String)> {
    Some((pod.metadata.name.clone()?, pod.metadata.uid.clone()?))
}

/// True for a pod that is on its way out.
pub fn is_deleted(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// True when nothing of the pod runs and kubelet has said so.
pub fn has_ended(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let terminal = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    terminal
        && container_statuses(pod).all(|container| {
            container
                .state
                .as_ref()
                .is_some_and(|state| state.running.is_none())
        })
}

/// Statuses of the main containers and of the native sidecars.
pub fn container_statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let is_sidecar = |name: &str| {
        let mut sidecars = pod.spec.iter().flat_map(containers::sidecars);
        sidecars.any(|container| container.name == name)
    };
    pod.status.iter().flat_map(move |status| {
        let init = status.init_container_statuses.iter().flatten();
        let sidecars = init.filter(move |container| is_sidecar(&container.name));
        sidecars.chain(status.container_statuses.iter().flatten())
    })
}

/// True when kubelet says that every main container and every native sidecar runs.
pub fn all_containers_run(pod: &Pod) -> bool {
    let wanted = pod
        .spec
        .as_ref()
        .map_or(0, |spec| containers::lasting(spec).count());
    let running = container_statuses(pod).filter(|container| {
        container
            .state
            .as_ref()
            .is_some_and(|state| state.running.is_some())
    });
    wanted > 0 && running.count() == wanted
}

/// The condition of that type and whether it is `True`.
pub fn pod_condition(pod: &Pod, of: &str) -> bool {
    pod.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == of && condition.status == "True")
}

/// True when the kubelet of the node reports and is fine.
pub fn is_node_ready(node: &KnownNode) -> bool {
    node.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// True when nothing may be scheduled onto the node.
pub fn is_cordoned(node: &KnownNode) -> bool {
    node.spec
        .as_ref()
        .is_some_and(|spec| spec.unschedulable == Some(true))
}

/// True when an agent on the node says that the node can take part in migrations.
pub fn has_agent(node: &KnownNode) -> bool {
    node.labels().get(AGENT_READY_LABEL).map(String::as_str) == Some("true")
}

fn is_out_of_service(node: &KnownNode) -> bool {
    node.spec
        .iter()
        .flat_map(|spec| spec.taints.iter().flatten())
        .any(|taint| taint.key == OUT_OF_SERVICE)
}

/// `InternalIP` of a node, where its agent listens.
pub fn internal_ip(node: &KnownNode) -> Option<&str> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    addresses
        .iter()
        .find(|address| address.type_ == "InternalIP")
        .map(|address| address.address.as_str())
}

/// Age of a migration for the question which of two is older: creation time, then UID, so that two of the same second
/// have an order too.
pub fn age_order(migration: &PodMigration) -> (Option<Timestamp>, &str) {
    let created = migration.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (created, migration.metadata.uid.as_deref().unwrap_or_default())
}
