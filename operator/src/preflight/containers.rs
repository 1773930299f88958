//! Which containers move, which start fresh on the destination, and which are left behind.

use godwit_crds::checks::{CheckInfo, operator};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::Check;
use crate::containers::{lasting, sidecars};
use crate::facts::Observed;

/// Checks whose warning is that something is lost.
pub(super) const LOSSES: [&str; 2] = [
    operator::RESTART_CONTAINERS.name,
    operator::EPHEMERAL_CONTAINERS.name,
];

/// Every check of this kind.
pub(super) fn checks(observed: &Observed, source: &Pod) -> Vec<Check> {
    let empty = PodSpec::default();
    let spec = source.spec.as_ref().unwrap_or(&empty);
    let restart = observed.migration.spec.restart_containers.as_slice();
    vec![
        restarted(spec, restart),
        sidecars_without_startup(spec, restart),
        post_start(spec, restart),
        ephemeral(spec),
    ]
}

/// `spec.restartContainers` names containers that there are, and leaves something to move.
fn restarted(spec: &PodSpec, restart: &[String]) -> Check {
    const CHECK: &CheckInfo = &operator::RESTART_CONTAINERS;
    if restart.is_empty() {
        return Check::pass(CHECK, "ContainersRestarted");
    }
    let unknown: Vec<&str> = restart
        .iter()
        .map(String::as_str)
        .filter(|name| lasting(spec).all(|container| container.name != *name))
        .collect();
    if !unknown.is_empty() {
        let all: Vec<&str> = lasting(spec).map(|container| container.name.as_str()).collect();
        return Check::from_finding(
            CHECK,
            "RestartContainersUnknown",
            Some(format!(
                "spec.restartContainers names {}, which this pod does not have as containers that go on running; name some of {}",
                unknown.join(", "),
                all.join(", ")
            )),
        );
    }
    if spec
        .containers
        .iter()
        .all(|container| restart.contains(&container.name))
    {
        return Check::from_finding(
            CHECK,
            "NothingToMove",
            Some(
                "spec.restartContainers names every main container, so there would be nothing to move; leave one out, or delete the pod and let it be created elsewhere"
                    .to_owned(),
            ),
        );
    }
    Check::warn(
        CHECK,
        "ContainersRestarted",
        format!(
            "containers that start fresh on the destination, while those on the source still run: {}; what they had in memory and in files is lost, and so are the pod's connections that end in them",
            restart.join(", ")
        ),
    )
}

/// Sidecars move, but not their startup probes.
fn sidecars_without_startup(spec: &PodSpec, restart: &[String]) -> Check {
    const CHECK: &CheckInfo = &operator::NATIVE_SIDECARS;
    const REASON: &str = "StartupProbeDropped";
    let with_probe = sidecars(spec)
        .filter(|container| !restart.contains(&container.name) && container.startup_probe.is_some());
    match names(with_probe) {
        None => Check::pass(CHECK, REASON),
        Some(names) => Check::warn(
            CHECK,
            REASON,
            format!(
                "init containers that go on running ({names}) move without their startupProbe: kubelet would wait for it while they are held, and they are warm; it is missing at later restarts too"
            ),
        ),
    }
}

/// A hook blocks kubelet until it has ended: in a container that is held, or whose network is mute until the pod runs, for ever. Only
/// a sidecar that starts fresh starts before all that.
fn post_start(spec: &PodSpec, restart: &[String]) -> Check {
    let hooked = lasting(spec).filter(|container| {
        let hook = container
            .lifecycle
            .as_ref()
            .is_some_and(|it| it.post_start.is_some());
        hook && !(is_sidecar_of(spec, container) && restart.contains(&container.name))
    });
    let finding = names(hooked).map(|names| {
        format!(
            "postStart hooks ({names}) would run a second time, in a held container; create the pod without"
        )
    });
    Check::from_finding(&operator::POST_START_HOOK, "PostStartHookUnsupported", finding)
}

/// A pod never loses its ephemeral containers again, so they must not keep it from moving: they stay and end with the source.
fn ephemeral(spec: &PodSpec) -> Check {
    const CHECK: &CheckInfo = &operator::EPHEMERAL_CONTAINERS;
    const REASON: &str = "EphemeralContainersDropped";
    let found: Vec<&str> = spec
        .ephemeral_containers
        .iter()
        .flatten()
        .map(|container| container.name.as_str())
        .collect();
    if found.is_empty() {
        return Check::pass(CHECK, REASON);
    }
    Check::warn(
        CHECK,
        REASON,
        format!(
            "ephemeral containers do not move: {}; what still runs in them is frozen with the pod and ends with it",
            found.join(", ")
        ),
    )
}

fn is_sidecar_of(spec: &PodSpec, container: &Container) -> bool {
    sidecars(spec).any(|it| it.name == container.name)
}

fn names<'a>(containers: impl Iterator<Item = &'a Container>) -> Option<String> {
    let names: Vec<&str> = containers.map(|container| container.name.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::containers::moved;

    #[test]
    fn what_passes_leaves_something_to_move() {
        let spec: PodSpec = serde_json::from_value(json!({
            "initContainers": [{"name": "proxy", "restartPolicy": "Always"}],
            "containers": [{"name": "app"}],
        }))
        .unwrap();
        for (restart, reason, some) in [
            (vec!["proxy".to_owned()], "ContainersRestarted", true),
            (vec!["app".to_owned()], "NothingToMove", true),
            (vec!["app".to_owned(), "proxy".to_owned()], "NothingToMove", false),
        ] {
            assert_eq!(restarted(&spec, &restart).reason, reason, "{restart:?}");
            assert_eq!(moved(&spec, &restart).next().is_some(), some, "{restart:?}");
        }
    }
}
