//! Which containers of a pod are moved, in the order in which kubelet starts them at the target. Pure.

use k8s_openapi::api::core::v1::{Container, PodSpec};

/// The containers that go on running: native sidecars (init containers with `restartPolicy: Always`), then main containers.
pub(crate) fn lasting(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    let init = spec.init_containers.iter().flatten();
    init.filter(|container| container.restart_policy.as_deref() == Some("Always"))
        .chain(&spec.containers)
}

/// Those of them that `restart` (the migration's `spec.restartContainers`) does not name: kubelet starts the others anew.
pub(crate) fn moved<'a>(spec: &'a PodSpec, restart: &'a [String]) -> impl Iterator<Item = &'a Container> {
    lasting(spec).filter(|container| !restart.contains(&container.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sidecars_come_first_and_what_starts_anew_is_left_out() {
        let spec: PodSpec = serde_json::from_value(json!({
            "initContainers": [
                {"name": "godwit-park-0"}, {"name": "proxy", "restartPolicy": "Always"},
                {"name": "cache", "restartPolicy": "Always"},
            ],
            "containers": [{"name": "app"}, {"name": "helper"}],
            "ephemeralContainers": [{"name": "debugger"}],
        }))
        .unwrap();
        let names = |restart: &[&str]| -> Vec<String> {
            let restart: Vec<String> = restart.iter().map(|name| (*name).to_owned()).collect();
            moved(&spec, &restart).map(|it| it.name.clone()).collect()
        };
        assert_eq!(names(&[]), ["proxy", "cache", "app", "helper"]);
        assert_eq!(names(&["proxy", "app"]), ["cache", "helper"]);
    }
}
