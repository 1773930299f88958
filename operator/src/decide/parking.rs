//! Reads from a target pod how far scheduler and kubelet are with it.

use std::time::Duration;

use godwit_crds::PARK_PREFIX;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateWaiting, ContainerStatus, Pod};

use super::step::elapsed;
use crate::{facts, reason};

/// How long the scheduler may say "unschedulable" before it is believed: a node may just be making room.
pub const UNSCHEDULABLE_GRACE: Duration = Duration::from_secs(20);
/// How long image pulls and container starts may fail before it is believed: registries and mounts have hiccups.
pub const IMAGE_GRACE: Duration = Duration::from_secs(15);

/// How far a target pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parking {
    /// Going on; what it is at.
    Waiting(String),
    /// Bound, images present, the last parking container runs.
    Parked {
        /// Where.
        node: String,
    },
    /// Will not come up.
    Failed {
        /// Stable.
        reason: &'static str,
        /// In the words of the component that said so.
        message: String,
    },
}

/// How far the pod is at that time.
pub(super) fn progress(pod: &Pod, now: Timestamp) -> Parking {
    let failed = |reason, message| Parking::Failed { reason, message };
    if facts::is_deleted(pod) {
        return failed(
            reason::TARGET_DELETED,
            "the target pod is being deleted; do not delete it, set spec.cancel".to_owned(),
        );
    }
    let Some(status) = &pod.status else {
        return Parking::Waiting("waiting for the scheduler".to_owned());
    };
    if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
        let why = status
            .message
            .as_deref()
            .or(status.reason.as_deref())
            .unwrap_or("no message");
        return failed(
            reason::TARGET_FAILED,
            format!("the target pod ended while parked: {why}"),
        );
    }
    let Some(node) = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.node_name.clone())
        .filter(|node| !node.is_empty())
    else {
        return unbound(pod, now);
    };
    let bound_for = status
        .start_time
        .as_ref()
        .map_or(Duration::ZERO, |start| elapsed(start.0, now));
    // Those that come before the last parking one; those after it wait for the freeze.
    let begun = || status.init_container_statuses.iter().flatten();
    for container in begun() {
        if let Some(waiting) = container.state.as_ref().and_then(|state| state.waiting.as_ref())
            && let Some(why) = hopeless(waiting, bound_for)
        {
            let message = waiting.message.as_deref().unwrap_or("no message from kubelet");
            return failed(
                why,
                format!(
                    "{} of image {} on node {node}: {message}",
                    waiting.reason.as_deref().unwrap_or_default(),
                    container.image
                ),
            );
        }
    }
    let last = pod
        .spec
        .iter()
        .flat_map(|spec| spec.init_containers.iter().flatten())
        .rfind(|container| container.name.starts_with(PARK_PREFIX))
        .map(|container| container.name.clone());
    let parked = begun().any(|container| Some(&container.name) == last.as_ref() && is_running(container));
    if parked {
        Parking::Parked { node }
    } else {
        Parking::Waiting(format!(
            "waiting for kubelet on {node} to start the parking containers"
        ))
    }
}

fn unbound(pod: &Pod, now: Timestamp) -> Parking {
    let scheduled = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .find(|condition| condition.type_ == "PodScheduled");
    let Some(scheduled) = scheduled.filter(|condition| condition.status == "False") else {
        return Parking::Waiting("waiting for the scheduler".to_owned());
    };
    let message = scheduled
        .message
        .as_deref()
        .unwrap_or("no message from the scheduler");
    let since = scheduled
        .last_transition_time
        .as_ref()
        .or(pod.metadata.creation_timestamp.as_ref());
    if since.is_some_and(|since| elapsed(since.0, now) > UNSCHEDULABLE_GRACE) {
        return Parking::Failed {
            reason: reason::UNSCHEDULABLE,
            message: format!("no node for the target pod: {message}"),
        };
    }
    Parking::Waiting(format!("the scheduler says: {message}"))
}

/// The reason for giving up, if kubelet's word leaves no hope after that long on the node.
fn hopeless(waiting: &ContainerStateWaiting, bound_for: Duration) -> Option<&'static str> {
    match waiting.reason.as_deref()? {
        "ErrImageNeverPull" | "InvalidImageName" => Some(reason::IMAGE_UNAVAILABLE),
        "ErrImagePull"
        | "ImagePullBackOff"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed"
            if bound_for > IMAGE_GRACE =>
        {
            Some(reason::IMAGE_UNAVAILABLE)
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" | "CrashLoopBackOff"
            if bound_for > IMAGE_GRACE =>
        {
            Some(reason::PARKING_FAILED)
        }
        _ => None,
    }
}

fn is_running(container: &ContainerStatus) -> bool {
    container
        .state
        .as_ref()
        .is_some_and(|state| state.running.is_some())
}
