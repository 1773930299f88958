//! Making `PodMigration`s and watching what becomes of them.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use godwit_crds::{MigrationPhase, PodMigration, PodMigrationStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

/// How long a migration of a test may take from end to end.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// How often its status is read.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A migration that was asked for.
#[derive(Clone)]
pub struct Migration {
    api: Api<PodMigration>,
    name: String,
}

impl std::fmt::Debug for Migration {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "PodMigration {}", self.name)
    }
}

impl Migration {
    /// Create one with a generated name and this `spec`. Fails if the API server refuses it.
    pub async fn create(client: &Client, namespace: &str, spec: Value) -> Result<Self> {
        let api: Api<PodMigration> = Api::namespaced(client.clone(), namespace);
        let object = serde_json::from_value(json!({
            "apiVersion": "godwit.dev/v1alpha1", "kind": "PodMigration",
            "metadata": {"generateName": "move-"}, "spec": spec,
        }))
        .context("the spec of a PodMigration")?;
        let made = api
            .create(&PostParams::default(), &object)
            .await
            .context("create a PodMigration")?;
        Ok(Self {
            api,
            name: made.name_any(),
        })
    }

    /// One that is there already.
    pub fn existing(client: &Client, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced(client.clone(), namespace),
            name: name.to_owned(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The object as it is now.
    pub async fn get(&self) -> Result<PodMigration> {
        self.api
            .get(&self.name)
            .await
            .with_context(|| format!("read {self:?}"))
    }

    /// Its status as it is now; the default one if it has none yet.
    pub async fn status(&self) -> Result<PodMigrationStatus> {
        Ok(self.get().await?.status.unwrap_or_default())
    }

    /// Wait until `enough` holds of the status. Fails, with the status as it was last, after `patience`, or if the
    /// migration ends without it.
    pub async fn until(
        &self,
        what: &str,
        patience: Duration,
        enough: impl Fn(&PodMigrationStatus) -> bool,
    ) -> Result<PodMigration> {
        let began = Instant::now();
        loop {
            let migration = self.get().await?;
            let status = migration.status.clone().unwrap_or_default();
            if enough(&status) {
                return Ok(migration);
            }
            if status.phase.is_final() {
                bail!("{} ended before {what}: {}", self.name, told(&status));
            }
            if began.elapsed() > patience {
                bail!(
                    "{} was not {what} after {} s: {}",
                    self.name,
                    patience.as_secs(),
                    told(&status)
                );
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Wait until it is in `phase`. A phase that is over before it is seen is an error: name one that lasts.
    pub async fn phase(&self, phase: MigrationPhase, patience: Duration) -> Result<PodMigration> {
        self.until(&format!("{phase:?}"), patience, |status| status.phase == phase)
            .await
    }

    /// Wait for its end, good or bad.
    pub async fn ended(&self, patience: Duration) -> Result<PodMigration> {
        self.until("over", patience, |status| status.phase.is_final())
            .await
    }

    /// Wait for its success. Fails with its status if it fails.
    pub async fn succeeded(&self) -> Result<PodMigration> {
        self.phase(MigrationPhase::Succeeded, PATIENCE).await
    }

    /// Wait for its failure; gives its status. Fails if it succeeds.
    pub async fn failed(&self, patience: Duration) -> Result<PodMigrationStatus> {
        let ended = self.phase(MigrationPhase::Failed, patience).await?;
        Ok(ended.status.unwrap_or_default())
    }

    /// Set `spec.cancel`.
    pub async fn cancel(&self) -> Result<()> {
        let patch = json!({"spec": {"cancel": true}});
        self.api
            .patch(&self.name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .with_context(|| format!("cancel {self:?}"))?;
        Ok(())
    }

    /// Delete it, without waiting for its finalizer.
    pub async fn delete(&self) -> Result<()> {
        self.api.delete(&self.name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// The name of its target pod. Fails if it has none yet.
    pub fn target_name(migration: &PodMigration) -> Result<String> {
        let plan = migration.status.as_ref().and_then(|status| status.plan.as_ref());
        plan.and_then(|plan| plan.target_pod_name.clone())
            .with_context(|| format!("{} has no target pod", migration.name_any()))
    }

    /// Its target pod, which must be there.
    pub async fn target_pod(&self, client: &Client) -> Result<Pod> {
        let migration = self.get().await?;
        let namespace = migration
            .namespace()
            .context("a PodMigration without a namespace")?;
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        Ok(pods.get(&Self::target_name(&migration)?).await?)
    }
}

/// A status in one line, for people.
pub fn told(status: &PodMigrationStatus) -> String {
    let mut text = format!("{:?}", status.phase);
    for part in [&status.reason, &status.message].into_iter().flatten() {
        text.push_str(": ");
        text.push_str(part);
    }
    if let Some(source) = &status.source {
        let words = [&source.step, &source.reason, &source.message];
        let _ = write!(text, " [source {:?} {}]", source.state, joined(&words));
    }
    if let Some(target) = &status.target {
        let words = [&target.reason, &target.message];
        let _ = write!(text, " [target {:?} {}]", target.state, joined(&words));
    }
    text
}

fn joined(words: &[&Option<String>]) -> String {
    let words: Vec<&str> = words.iter().filter_map(|word| word.as_deref()).collect();
    words.join(" ")
}
