//! Stores the status, and tells of it: events and metrics. Takes only what has been applied.

use godwit_crds::{PodMigration, PodMigrationStatus};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};
use thiserror::Error;

use crate::FIELD_MANAGER;
use crate::apply::Applied;
use crate::decide::{Announcement, On};
use crate::facts::Observed;
use crate::metrics::Metrics;

/// Events may not be longer than this, in bytes.
const NOTE_LIMIT: usize = 1_000;

/// Why the status was not stored; everything is decided anew and tried again.
#[derive(Debug, Error)]
pub enum PublishError {
    /// Somebody changed the migration since it was observed.
    #[error("the migration has changed since it was read")]
    Outdated,
    /// The API server did not answer as it should.
    #[error("cannot store the status")]
    Store(#[source] kube::Error),
    /// A bug: the status is not JSON.
    #[error("the status cannot be written as JSON")]
    Encode(#[source] serde_json::Error),
}

impl PublishError {
    /// Stable.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Outdated => "Outdated",
            Self::Store(_) => "PublishFailed",
            Self::Encode(_) => "StatusInvalid",
        }
    }
}

/// Stores the status if it differs from what was observed, then records events and counts.
///
/// The status is applied for the very version that was observed, so a replica that has lost its lease without knowing
/// cannot set a migration back.
pub async fn publish(
    client: &Client,
    recorder: &Recorder,
    metrics: &Metrics,
    observed: &Observed,
    applied: &Applied,
) -> Result<(), PublishError> {
    let decision = applied.decision();
    let before = observed.migration.status.clone().unwrap_or_default();
    let is_news = decision.status != before;
    if is_news {
        store(client, &observed.migration, &decision.status).await?;
    }
    for announcement in &decision.announcements {
        announce(recorder, observed, announcement).await;
    }
    if is_news && decision.status.phase != before.phase {
        tracing::info!(
            phase = ?decision.status.phase,
            reason = decision.status.reason.as_deref().unwrap_or_default(),
            message = decision.status.message.as_deref().unwrap_or_default(),
            "migration entered a phase"
        );
        if decision.status.phase.is_final() {
            metrics.ended(&decision.status);
        }
    }
    Ok(())
}

async fn store(
    client: &Client,
    migration: &PodMigration,
    status: &PodMigrationStatus,
) -> Result<(), PublishError> {
    let migrations: Api<PodMigration> =
        Api::namespaced(client.clone(), &migration.namespace().unwrap_or_default());
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = patch(migration, status)?;
    match migrations
        .patch_status(&migration.name_any(), &params, &Patch::Apply(&patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Err(PublishError::Outdated),
        Err(error) => Err(PublishError::Store(error)),
    }
}

/// The operator's fields and no others: `source` and `target` belong to the agents.
fn patch(migration: &PodMigration, status: &PodMigrationStatus) -> Result<Value, PublishError> {
    let mut own = serde_json::to_value(status).map_err(PublishError::Encode)?;
    if let Some(fields) = own.as_object_mut() {
        fields.remove("source");
        fields.remove("target");
    }
    Ok(json!({
        "apiVersion": PodMigration::api_version(&()),
        "kind": PodMigration::kind(&()),
        "metadata": {
            "name": migration.name_any(),
            "namespace": migration.namespace(),
            "uid": migration.metadata.uid,
            "resourceVersion": migration.metadata.resource_version,
        },
        "status": own,
    }))
}

/// Events are for people; one that cannot be recorded is logged and no reason to try the whole again.
async fn announce(recorder: &Recorder, observed: &Observed, announcement: &Announcement) {
    let pod = match announcement.on {
        On::Source => observed.source.as_ref(),
        On::Target => observed.target.as_ref(),
    };
    let migration = observed.migration.object_ref(&());
    let pod = pod.map(|pod: &Pod| pod.object_ref(&()));
    publish_event(recorder, announcement, &migration, pod.as_ref()).await;
    if let Some(pod) = &pod {
        publish_event(recorder, announcement, pod, Some(&migration)).await;
    }
}

/// Records a warning on a migration whose status stays as it is. The same again is counted, not recorded anew.
pub async fn warn(recorder: &Recorder, migration: &PodMigration, reason: &str, message: &str) {
    let announcement = Announcement {
        on: On::Source,
        warning: true,
        reason: reason.to_owned(),
        message: message.to_owned(),
    };
    publish_event(recorder, &announcement, &migration.object_ref(&()), None).await;
}

async fn publish_event(
    recorder: &Recorder,
    announcement: &Announcement,
    on: &ObjectReference,
    related: Option<&ObjectReference>,
) {
    let event = Event {
        type_: if announcement.warning {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: announcement.reason.chars().take(128).collect(),
        note: Some(cut(&announcement.message)),
        action: "Migrate".to_owned(),
        secondary: related.cloned(),
    };
    if let Err(error) = recorder.publish(&event, on).await {
        tracing::warn!(%error, reason = announcement.reason, "event not recorded");
    }
}

fn cut(message: &str) -> String {
    let end = (0..=message.len().min(NOTE_LIMIT))
        .rev()
        .find(|end| message.is_char_boundary(*end))
        .unwrap_or(0);
    message[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use godwit_crds::{PodMigrationSpec, SourceReport, SourceState};

    use super::*;

    #[test]
    fn the_agents_fields_are_never_in_the_patch() {
        let migration = PodMigration::new(
            "m",
            PodMigrationSpec {
                pod_name: "p".to_owned(),
                ..PodMigrationSpec::default()
            },
        );
        let source = SourceReport {
            state: SourceState::Copying,
            bytes_sent: 1,
            ..SourceReport::default()
        };
        let status = PodMigrationStatus {
            source: Some(source),
            ..PodMigrationStatus::default()
        };
        let patch = patch(&migration, &status).unwrap();
        assert_eq!(patch["status"], json!({ "phase": "Pending" }));
    }
}
