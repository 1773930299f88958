//! The containers of a target pod: the same, but the application in those that are moved is warm already.

use k8s_openapi::api::core::v1::{Container, Lifecycle, Probe};

/// The container as it is in the target pod, without the mounts of those volumes; `restart` names those that start fresh.
pub(super) fn in_target(container: Container, restart: &[String], without: &[String]) -> Container {
    let container = without_mounts(container, without);
    if restart.contains(&container.name) {
        // Between two moved ones it starts in the freeze, and no pull may come into that.
        return Container {
            image_pull_policy: Some(pull_policy(&container).to_owned()),
            ..container
        };
    }
    warm(container)
}

/// A native sidecar that is moved. Without a startup probe: kubelet starts the next container only when the probe has succeeded, and
/// it cannot while the container is held until the commit, for which the next container is needed.
pub(super) fn warm_sidecar(container: Container, without: &[String]) -> Container {
    let container = warm(without_mounts(container, without));
    Container {
        startup_probe: None,
        ..container
    }
}

/// The container without the mounts of those volumes.
pub(super) fn without_mounts(mut container: Container, without: &[String]) -> Container {
    if let Some(mounts) = &mut container.volume_mounts {
        mounts.retain(|mount| !without.contains(&mount.name));
    }
    container
}

fn warm(mut container: Container) -> Container {
    container.image_pull_policy = Some(pull_policy(&container).to_owned());
    container.startup_probe = container.startup_probe.map(every_second);
    // Too early a readiness probe only fails. The liveness probe keeps its delay: it would kill the container when
    // kubelet starts it cold later on.
    container.readiness_probe = container.readiness_probe.map(without_delay);
    container
}

/// The container without its postStart hook, which kubelet would run, and wait for, while the container is held.
pub(super) fn without_post_start(mut container: Container) -> Container {
    let mut left = container.lifecycle.take().unwrap_or_default();
    left.post_start = None;
    container.lifecycle = (left != Lifecycle::default()).then_some(left);
    container
}

/// Parking has pulled the image: nothing may be pulled in the freeze. `Never` stays what it is.
pub(super) fn pull_policy(container: &Container) -> &'static str {
    if container.image_pull_policy.as_deref() == Some("Never") {
        "Never"
    } else {
        "IfNotPresent"
    }
}

fn without_delay(mut probe: Probe) -> Probe {
    probe.initial_delay_seconds = None;
    probe
}

/// Asks every second from the start, and for as long in all as before, delay included, so that a later cold start has
/// the same time.
fn every_second(mut probe: Probe) -> Probe {
    let period = probe.period_seconds.unwrap_or(10).max(1);
    let times = probe.failure_threshold.unwrap_or(3).max(1);
    let delay = probe.initial_delay_seconds.take().unwrap_or(0).max(0);
    probe.failure_threshold = Some(period.saturating_mul(times).saturating_add(delay));
    probe.period_seconds = Some(1);
    probe
}
