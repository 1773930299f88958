//! Which containers of a pod are moved, and which start fresh. Pure.

use k8s_openapi::api::core::v1::{Container, PodSpec};

/// True for an init container that goes on running beside the main ones (a native sidecar, KEP-753).
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// The pod's native sidecars, in the order of their start.
pub fn sidecars(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    let init = spec.init_containers.iter().flatten();
    init.filter(|container| is_sidecar(container))
}

/// Every container that runs in the pod for as long as the pod does, in the order of their start: sidecars, then main ones.
pub fn lasting(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    sidecars(spec).chain(&spec.containers)
}

/// Those of them that are moved: all that `restart` (the migration's `spec.restartContainers`) does not name.
pub fn moved<'a>(spec: &'a PodSpec, restart: &'a [String]) -> impl Iterator<Item = &'a Container> {
    lasting(spec).filter(|container| !restart.contains(&container.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sidecars_come_first_and_what_restarts_is_not_moved() {
        let spec: PodSpec = serde_json::from_value(json!({
            "initContainers": [
                {"name": "godwit-park-0"}, {"name": "proxy", "restartPolicy": "Always"},
                {"name": "setup"}, {"name": "cache", "restartPolicy": "Always"},
            ],
            "containers": [{"name": "app"}, {"name": "helper"}],
        }))
        .unwrap();
        let names = |found: Vec<&Container>| found.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
        assert_eq!(
            names(lasting(&spec).collect()),
            ["proxy", "cache", "app", "helper"]
        );
        let restart = ["proxy".to_owned(), "helper".to_owned()];
        assert_eq!(names(moved(&spec, &restart).collect()), ["cache", "app"]);
    }
}
