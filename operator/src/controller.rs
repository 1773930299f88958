//! Looks at a migration whenever it, its source pod or its target pod changes, and drives the pipeline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use godwit_crds::{MIGRATION_LABEL, PodMigration};
use jiff::{Timestamp, Unit};
use k8s_openapi::api::core::v1::Pod;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{Action, Config};
use kube::runtime::events::Recorder;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, ResourceExt};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::apply::{self, ApplyError};
use crate::decide::{decide, has_begun};
use crate::definition::{Definition, LOOK_AGAIN};
use crate::metrics::Metrics;
use crate::observe::{ObserveError, observe};
use crate::publish::{PublishError, publish, warn};

/// After an error.
const RETRY: Duration = Duration::from_secs(2);
/// After somebody else has changed the migration meanwhile.
const RETRY_OUTDATED: Duration = Duration::from_millis(50);
/// One look makes about ten calls; the client has its own, shorter, deadline for each.
const DEADLINE: Duration = Duration::from_mins(1);

/// What every reconcile needs.
pub struct Context {
    /// Client of the API server.
    pub client: Client,
    /// Where events go.
    pub recorder: Recorder,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether migrations can be taken on.
    pub definition: Definition,
}

/// Why a look at a migration failed, by stage.
#[derive(Debug, Error)]
pub enum ReconcileError {
    /// Facts are missing.
    #[error("observing failed")]
    Observe(#[from] ObserveError),
    /// An action was not done.
    #[error("applying failed")]
    Apply(#[from] ApplyError),
    /// The status was not stored.
    #[error("publishing failed")]
    Publish(#[from] PublishError),
    /// It took too long.
    #[error("the API server did not answer within {} s", DEADLINE.as_secs())]
    Deadline,
}

impl ReconcileError {
    /// Stable; also a metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Observe(error) => error.reason(),
            Self::Apply(error) => error.reason(),
            Self::Publish(error) => error.reason(),
            Self::Deadline => "DeadlineExceeded",
        }
    }
}

/// Works until told to end, and finishes what it is at.
pub async fn run(context: Arc<Context>, concurrency: u16, end: CancellationToken) {
    let client = context.client.clone();
    let controller = Controller::new(
        Api::<PodMigration>::all(client.clone()),
        watcher::Config::default(),
    );
    let known = controller.store();
    let targets = watcher::Config::default().labels(MIGRATION_LABEL);
    controller
        .with_config(Config::default().concurrency(concurrency))
        // Legs wake the migration whose legs they are.
        .owns(
            Api::<PodMigration>::all(client.clone()),
            watcher::Config::default(),
        )
        .watches(Api::<Pod>::all(client.clone()), targets, |target: Pod| {
            migration_of(&target)
        })
        // Only the metadata of other pods is kept, and that only as long as it takes to see that nobody migrates them.
        .watches(
            Api::<PartialObjectMeta<Pod>>::all(client),
            watcher::Config::default(),
            move |pod: PartialObjectMeta<Pod>| {
                let (namespace, name) = (pod.namespace(), pod.name_any());
                let of_pod = known.state_filter(|migration| {
                    let is_over = migration
                        .status
                        .as_ref()
                        .is_some_and(|status| status.phase.is_final());
                    !is_over && migration.spec.pod_name == name && migration.namespace() == namespace
                });
                of_pod
                    .iter()
                    .map(|migration| ObjectRef::from_obj(&**migration))
                    .collect::<Vec<_>>()
            },
        )
        .graceful_shutdown_on(end.cancelled_owned())
        .run(reconcile, on_error, context)
        .for_each(|looked| async move {
            if let Err(error) = looked {
                tracing::debug!(%error, "controller");
            }
        })
        .await;
}

fn migration_of(target: &Pod) -> Option<ObjectRef<PodMigration>> {
    let name = target.labels().get(MIGRATION_LABEL)?;
    Some(ObjectRef::new(name).within(&target.namespace()?))
}

async fn reconcile(migration: Arc<PodMigration>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let namespace = migration.namespace().unwrap_or_default();
    let name = migration.name_any();
    let span = tracing::info_span!("migration", %namespace, %name, uid = migration.metadata.uid.as_deref().unwrap_or_default());
    let began = Instant::now();
    let look = Box::pin(look(&context, &namespace, &name));
    let looked = async {
        tokio::time::timeout(DEADLINE, look)
            .await
            .unwrap_or(Err(ReconcileError::Deadline))
    }
    .instrument(span)
    .await;
    context.metrics.reconciled(began.elapsed());
    looked
}

/// The pipeline.
async fn look(context: &Context, namespace: &str, name: &str) -> Result<Action, ReconcileError> {
    let client = &context.client;
    let Some(observed) = Box::pin(observe(client, namespace, name)).await? else {
        return Ok(Action::await_change());
    };
    if !has_begun(&observed)
        && let Err(error) = context.definition.current()
    {
        warn(
            &context.recorder,
            &observed.migration,
            error.reason(),
            &error.to_string(),
        )
        .await;
        return Ok(Action::requeue(LOOK_AGAIN));
    }
    let now = now();
    let decision = decide(&observed, now);
    let applied = apply::apply(client, &observed, decision, now).await?;
    publish(client, &context.recorder, &context.metrics, &observed, &applied).await?;
    apply::release(client, &observed.migration, &applied).await?;
    Ok(applied
        .decision()
        .look_again
        .map_or_else(Action::await_change, Action::requeue))
}

/// The clock of the rim. Cut to what the API stores, so that what is written is what is read back.
fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Microsecond).unwrap_or(now)
}

#[allow(clippy::needless_pass_by_value, reason = "the controller's signature")]
fn on_error(migration: Arc<PodMigration>, error: &ReconcileError, context: Arc<Context>) -> Action {
    if matches!(error, ReconcileError::Publish(PublishError::Outdated)) {
        return Action::requeue(RETRY_OUTDATED);
    }
    context.metrics.failed(error.reason());
    let cause = std::error::Error::source(error)
        .and_then(std::error::Error::source)
        .map(ToString::to_string);
    tracing::warn!(
        namespace = migration.namespace().unwrap_or_default(),
        name = migration.name_any(),
        reason = error.reason(),
        cause = cause.unwrap_or_default(),
        "{error}; trying again"
    );
    Action::requeue(RETRY)
}
