//! Parking containers: one for each image of the pod, so that kubelet has pulled every image before the freeze; the
//! last one holds the pod until the agents are ready. `godwit-runtime` puts Godwit's own binary into each of them.
//!
//! They are allowed wherever the pod is: they satisfy the *restricted* pod security level, and have the CPU, memory
//! and ephemeral storage of the container whose image they have. So the pod's `QoS` class, its effective request,
//! and its standing with any quota or limit range are those of its source: kubelet and scheduler count the larger of
//! the init containers and the sum of the main ones, never both.

use godwit_crds::PARK_PREFIX;
use k8s_openapi::api::core::v1::{
    Capabilities, Container, PodSpec, ResourceRequirements, SeccompProfile, SecurityContext,
};

use super::containers::{pull_policy, warm_sidecar, without_mounts};
use crate::containers::{moved, sidecars};

/// User of the parking process, which needs none: "nobody" of distroless images.
const PARK_USER: i64 = 65_532;
/// Resources that a parking container may have; devices are for the application alone.
const PLAIN_RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// The init containers of a target pod, in order: parking ones that pass; sidecars that start fresh, so that they run before the pod
/// is frozen; the one that parks; sidecars that are moved.
///
/// Sidecars lose the mounts of the volumes `without`.
pub(super) fn init_containers(spec: &PodSpec, restart: &[String], without: &[String]) -> Vec<Container> {
    // What starts before the freeze may be pulled by its own start.
    let pulled = moved(spec, restart).chain(spec.containers.iter().filter(|it| restart.contains(&it.name)));
    let mut parks = parks(pulled);
    let last = parks.pop();
    let (fresh, moved): (Vec<_>, Vec<_>) = sidecars(spec)
        .cloned()
        .partition(|container| restart.contains(&container.name));
    let fresh = fresh
        .into_iter()
        .map(|container| without_mounts(container, without));
    let moved = moved
        .into_iter()
        .map(|container| warm_sidecar(container, without));
    parks.into_iter().chain(fresh).chain(last).chain(moved).collect()
}

/// One parking container for each image; only the last one parks.
fn parks<'a>(of: impl Iterator<Item = &'a Container>) -> Vec<Container> {
    let mut distinct: Vec<&Container> = Vec::new();
    for container in of {
        if !distinct.iter().any(|seen| seen.image == container.image) {
            distinct.push(container);
        }
    }
    let last = distinct.len().saturating_sub(1);
    distinct
        .into_iter()
        .enumerate()
        .map(|(index, container)| park(index, container, index == last))
        .collect()
}

fn park(index: usize, of: &Container, is_last: bool) -> Container {
    Container {
        name: format!("{PARK_PREFIX}{index}"),
        image: of.image.clone(),
        image_pull_policy: Some(pull_policy(of).to_owned()),
        command: Some(vec!["/.godwit-park".to_owned()]),
        args: Some(vec![if is_last { "last" } else { "pass" }.to_owned()]),
        resources: of.resources.as_ref().map(plain),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                add: None,
                drop: Some(vec!["ALL".to_owned()]),
            }),
            privileged: Some(false),
            run_as_non_root: Some(true),
            run_as_user: Some(PARK_USER),
            run_as_group: Some(PARK_USER),
            seccomp_profile: Some(SeccompProfile {
                localhost_profile: None,
                type_: "RuntimeDefault".to_owned(),
            }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

fn plain(resources: &ResourceRequirements) -> ResourceRequirements {
    let mut plain = ResourceRequirements {
        claims: None,
        ..resources.clone()
    };
    for list in [&mut plain.requests, &mut plain.limits].into_iter().flatten() {
        list.retain(|name, _| PLAIN_RESOURCES.contains(&name.as_str()));
    }
    plain
}
