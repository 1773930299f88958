//! Collects what a decision depends on. Everything is read from the API server, not from a cache: a decision from
//! stale facts could create a second target or miss an older migration.

mod claims;
mod owner;
mod relay;
mod unasked;

use std::sync::Arc;

use godwit_crds::{MIGRATION_LABEL, MIGRATION_UID_ANNOTATION, MigrationPhase, PodMigration, TargetSpec};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use thiserror::Error;

use crate::admission::{self, Mode};
use crate::facts::Observed;
use crate::known_node::KnownNode;
use crate::relay::{Relay, Role, target};

pub use unasked::{Shared, unasked};

/// Why facts are missing.
#[derive(Debug, Error)]
pub enum ObserveError {
    /// The API server did not answer as it should.
    #[error("cannot read {0}")]
    Read(&'static str, #[source] kube::Error),
}

impl ObserveError {
    /// Stable.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Read(..) => "ObserveFailed",
        }
    }
}

/// Everything about that migration, or `None` if it is gone.
pub async fn observe(client: &Client, namespace: &str, name: &str) -> Result<Option<Observed>, ObserveError> {
    let migrations: Api<PodMigration> = Api::namespaced(client.clone(), namespace);
    let Some(migration) = migrations
        .get_opt(name)
        .await
        .map_err(|error| ObserveError::Read("the migration", error))?
    else {
        return Ok(None);
    };
    let phase = migration
        .status
        .as_ref()
        .map(|status| status.phase)
        .unwrap_or_default();
    let mut observed = Observed {
        migration,
        source: None,
        target: None,
        nodes: Vec::new(),
        others: Vec::new(),
        maker: None,
        target_refusal: None,
        owner: None,
        claims: Vec::new(),
        role: Role::Whole,
        relay: Relay::default(),
    };
    if let Some(status) = observed.migration.status.clone()
        && !status.legs.is_empty()
    {
        Box::pin(relay::parent(
            client,
            namespace,
            &migrations,
            &mut observed,
            &status,
        ))
        .await?;
        return Ok(Some(observed));
    }
    if matches!(
        phase,
        MigrationPhase::Pending | MigrationPhase::Preflight | MigrationPhase::Preparing
    ) {
        observed.role = relay::role(&migrations, &observed.migration).await?;
    }
    match phase {
        // Nothing else is asked of these.
        MigrationPhase::Pending | MigrationPhase::Succeeded | MigrationPhase::Failed => {}
        MigrationPhase::Preflight => {
            observed.source = relay::meant(client, namespace, &observed.migration.spec.pod_name).await?;
            observed.others =
                relay::others(&migrations, &observed.migration, observed.source.as_ref()).await?;
            observed.nodes = candidates(client, &observed).await?;
            if let Some(source) = &observed.source {
                observed.maker = maker(&migrations, source).await?;
                observed.owner = owner::of(client, namespace, &observed).await?;
                observed.claims = claims::of(client, namespace, source).await?;
                let target = target(&observed, source);
                observed.target_refusal = refusal(client, namespace, &target).await?;
            }
        }
        MigrationPhase::Preparing
        | MigrationPhase::Copying
        | MigrationPhase::Switching
        | MigrationPhase::Finishing => {
            observed.source = pod(client, namespace, &observed.migration.spec.pod_name).await?;
            let plan = observed
                .migration
                .status
                .as_ref()
                .and_then(|status| status.plan.clone());
            if let Some(plan) = plan {
                if let Some(target) = &plan.target_pod_name {
                    observed.target = pod(client, namespace, target).await?;
                }
                let bound_to = observed
                    .target
                    .as_ref()
                    .and_then(|pod| pod.spec.as_ref()?.node_name.clone());
                observed.nodes = if phase == MigrationPhase::Preparing && observed.target.is_none() {
                    // The target pod is about to be made, and must not go to a node that is too unlike.
                    candidates(client, &observed).await?
                } else {
                    let names = [Some(plan.source_node), plan.target_node.or(bound_to)];
                    named(client, names.into_iter().flatten()).await?
                };
            }
            if matches!(phase, MigrationPhase::Preparing | MigrationPhase::Finishing) {
                observed.owner = owner::of(client, namespace, &observed).await?;
            }
        }
    }
    Ok(Some(observed))
}

async fn pod(client: &Client, namespace: &str, name: &str) -> Result<Option<Pod>, ObserveError> {
    Api::namespaced(client.clone(), namespace)
        .get_opt(name)
        .await
        .map_err(|error| ObserveError::Read("a pod", error))
}

/// Asked anew at each look, for quotas and policies change; nothing is made.
async fn refusal(client: &Client, namespace: &str, target: &Pod) -> Result<Option<String>, ObserveError> {
    admission::create(&Api::namespaced(client.clone(), namespace), target, Mode::Ask)
        .await
        .map_err(|error| ObserveError::Read("whether the target pod would be admitted", error))
}

/// The migration whose target that pod was; another one that has its name by now does not count.
async fn maker(migrations: &Api<PodMigration>, pod: &Pod) -> Result<Option<PodMigration>, ObserveError> {
    let Some(name) = pod.labels().get(MIGRATION_LABEL) else {
        return Ok(None);
    };
    let maker = migrations
        .get_opt(name)
        .await
        .map_err(|error| ObserveError::Read("the migration that made the pod", error))?;
    let uid = pod.annotations().get(MIGRATION_UID_ANNOTATION);
    Ok(maker.filter(|maker| maker.metadata.uid.as_ref() == uid))
}

/// The source's node and the named one, or all nodes if any may do.
async fn candidates(client: &Client, observed: &Observed) -> Result<Vec<Arc<KnownNode>>, ObserveError> {
    let source_node = observed
        .source
        .as_ref()
        .and_then(|pod| pod.spec.as_ref()?.node_name.clone());
    if let Some(TargetSpec {
        node_name: Some(target),
        ..
    }) = &observed.migration.spec.target
    {
        named(client, source_node.into_iter().chain([target.clone()])).await
    } else {
        let nodes = Api::<Node>::all(client.clone())
            .list(&ListParams::default())
            .await;
        let nodes = nodes.map_err(|error| ObserveError::Read("the nodes", error))?;
        Ok(nodes.items.into_iter().map(KnownNode::shared).collect())
    }
}

async fn named(
    client: &Client,
    names: impl Iterator<Item = String>,
) -> Result<Vec<Arc<KnownNode>>, ObserveError> {
    let api = Api::<Node>::all(client.clone());
    let mut nodes = Vec::new();
    for name in names {
        let node = api.get_opt(&name).await;
        let node = node.map_err(|error| ObserveError::Read("a node", error))?;
        nodes.extend(node.map(KnownNode::shared));
    }
    Ok(nodes)
}
