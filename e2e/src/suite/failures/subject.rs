//! The pod that a behaviour tries to move, with a client on one connection that must never notice a failure.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use godwit_crds::{MigrationPhase, Plan, PodMigrationStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::witness::Witness;
use crate::migration::{Migration, told};
use crate::suite::Lab;

/// How long a migration of a small pod may take here, whatever is done to it.
pub const AMPLE: Duration = Duration::from_secs(150);
/// How long what is deleted may take to go.
pub const SOON: Duration = Duration::from_mins(1);

/// A running Redis and its client.
pub struct Subject<'a> {
    /// Where it is.
    pub lab: &'a Lab,
    /// The pod's name; it changes with a migration.
    pub name: String,
    /// Its node.
    pub node: String,
    identity: Identity,
    witness: Witness,
}

/// What stays the same for as long as a container is never restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    uid: String,
    containers: Vec<(String, i32)>,
}

impl Identity {
    /// Of that pod.
    pub fn of(pod: &Pod) -> Self {
        let statuses = pod
            .status
            .iter()
            .flat_map(|status| status.container_statuses.iter().flatten());
        Self {
            uid: pod.uid().unwrap_or_default(),
            containers: statuses
                .map(|status| {
                    (
                        status.container_id.clone().unwrap_or_default(),
                        status.restart_count,
                    )
                })
                .collect(),
        }
    }
}

impl<'a> Subject<'a> {
    /// Starts a Redis on `node` and connects a client from the node after it.
    pub async fn start(lab: &'a Lab, name: &str, node: &str) -> Result<Self> {
        let pod = lab.redis(name, node).await?;
        Self::of(lab, &pod, node).await
    }

    /// The same with a pod of the caller's that runs and serves Redis.
    pub async fn of(lab: &'a Lab, pod: &Pod, node: &str) -> Result<Self> {
        let address = pod
            .status
            .as_ref()
            .and_then(|status| status.pod_ip.clone())
            .context("the pod has no address")?;
        let witness = Witness::connect(lab, &other(node, 1), address).await?;
        witness.progress().await?;
        Ok(Self {
            lab,
            name: pod.name_any(),
            node: node.to_owned(),
            identity: Identity::of(pod),
            witness,
        })
    }

    /// The node to which the behaviours move it.
    pub fn destination(&self) -> String {
        other(&self.node, 1)
    }

    /// The pod as it is now.
    pub async fn pod(&self) -> Result<Pod> {
        Ok(self.lab.pods().get(&self.name).await?)
    }

    /// A migration of this pod to [`Self::destination`], begun.
    pub async fn departs(&self) -> Result<Migration> {
        self.departs_within("100s").await
    }

    /// The same with a time limit.
    pub async fn departs_within(&self, timeout: &str) -> Result<Migration> {
        let spec =
            json!({"podName": self.name, "target": {"nodeName": self.destination()}, "timeout": timeout});
        self.lab.migrate_with(spec).await
    }

    /// Fails unless it runs on as if nothing had happened, with its client.
    pub async fn untouched(&self) -> Result<()> {
        let pod = self.pod().await.context("the source pod is gone")?;
        let now = Identity::of(&pod);
        ensure!(
            now == self.identity,
            "the source was touched: {:?} became {now:?}",
            self.identity
        );
        ensure!(
            pod.metadata.deletion_timestamp.is_none(),
            "the source is being deleted"
        );
        self.witness
            .progress()
            .await
            .context("the source runs, but its client does not")
    }

    /// Checks that a migration failed at this step for this reason, and left nothing but a source that runs on.
    pub async fn stays(&self, migration: &Migration) -> Result<PodMigrationStatus> {
        let status = migration.failed(AMPLE).await?;
        self.untouched().await.with_context(|| told(&status))?;
        ensure!(
            status.reason.as_deref().is_some_and(|reason| !reason.is_empty()),
            "no reason: {}",
            told(&status)
        );
        ensure!(
            status.message.as_deref().is_some_and(|text| !text.is_empty()),
            "no message: {}",
            told(&status)
        );
        if let Some(target) = status
            .plan
            .as_ref()
            .and_then(|plan| plan.target_pod_name.as_deref())
        {
            gone(self.lab, target)
                .await
                .context("a failed migration left its target pod")?;
        }
        Ok(status)
    }

    /// Moves it, for real; the client has to stay connected. The subject is the target pod then.
    pub async fn moves(&mut self) -> Result<PodMigrationStatus> {
        let migration = self.departs().await?;
        self.arrives(&migration).await
    }

    /// Waits for a migration that is under way, whose success is expected, and becomes its target.
    pub async fn arrives(&mut self, migration: &Migration) -> Result<PodMigrationStatus> {
        let (status, plan) = succeeded(migration).await?;
        gone(self.lab, &self.name)
            .await
            .context("the source pod is still there")?;
        self.name = plan
            .target_pod_name
            .clone()
            .context("no target pod in the plan")?;
        self.is_at(plan.target_node).await?;
        Ok(status)
    }

    /// Waits for a migration that is under way, whose success is expected and whose pod keeps its name, and becomes the new pod.
    pub async fn comes_home(&mut self, migration: &Migration) -> Result<PodMigrationStatus> {
        let (status, plan) = succeeded(migration).await?;
        ensure!(
            plan.target_pod_name.as_ref() == Some(&self.name),
            "another name: {}",
            told(&status)
        );
        self.is_at(plan.target_node).await?;
        Ok(status)
    }

    /// The pod of its name is another one now, on that node; fails if it was restarted, or its client does not get on.
    async fn is_at(&mut self, node: Option<String>) -> Result<()> {
        self.node = node.context("no target node in the plan")?;
        self.identity = Identity::of(&self.lab.running(&self.name).await?);
        ensure!(
            self.identity
                .containers
                .iter()
                .all(|(_, restarts)| *restarts == 0),
            "the target was restarted"
        );
        self.witness.progress().await.context("after the move")
    }

    /// What the client has seen so far, in words.
    pub fn client(&self) -> String {
        self.witness.summary()
    }

    /// Ends the client and leaves the pod alone; fails if the client ever saw anything wrong.
    pub async fn leave(self) -> Result<()> {
        self.witness.stop().await
    }

    /// Removes the pod; fails if its client ever saw anything wrong.
    pub async fn end(self) -> Result<()> {
        self.witness.stop().await?;
        self.lab.delete_pod(&self.name).await
    }
}

/// Waits for the end of a migration that has to succeed; gives its status and its plan.
async fn succeeded(migration: &Migration) -> Result<(PodMigrationStatus, Plan)> {
    let status = migration.ended(AMPLE).await?.status.unwrap_or_default();
    if status.phase != MigrationPhase::Succeeded {
        bail!("the migration did not succeed: {}", told(&status));
    }
    let plan = status.plan.clone().context("no plan")?;
    Ok((status, plan))
}

/// Waits until there is no pod of that name.
pub async fn gone(lab: &Lab, pod: &str) -> Result<()> {
    let pods = lab.pods();
    let what = format!("the end of pod {pod}");
    lab.until(&what, SOON, async || {
        Ok(pods.get_opt(pod).await?.is_none().then_some(()))
    })
    .await
}

/// The node `steps` after this one, around three nodes.
pub fn other(node: &str, steps: u8) -> String {
    let number: u8 = node.trim_start_matches('n').parse().unwrap_or(1);
    format!("n{}", (number - 1 + steps) % 3 + 1)
}

/// A pod spec with one Redis, to be changed by the caller.
pub fn redis_container() -> Value {
    json!({"name": "redis", "image": crate::images::redis::IMAGE, "imagePullPolicy": "Never"})
}
