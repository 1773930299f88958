//! Which volumes a pod may have: those that the new pod gets fresh from the API server.

use k8s_openapi::api::core::v1::{Pod, Volume};

use super::Check;

/// Refuses every volume whose content would have to move or be shared, by name and kind.
pub(super) fn check(source: &Pod) -> Check {
    let volumes = source.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let found: Vec<String> = volumes
        .filter(|volume| !is_fresh(volume))
        .map(|volume| format!("{} ({})", volume.name, kind(volume)))
        .collect();
    let finding = (!found.is_empty()).then(|| {
        format!(
            "volumes that cannot move yet: {}; only configMap, secret, downwardAPI and projected volumes can",
            found.join(", ")
        )
    });
    Check::from_finding("Volumes", "VolumeUnsupported", finding)
}

fn is_fresh(volume: &Volume) -> bool {
    volume.projected.is_some()
        || volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
}

/// The kind as it is spelt in YAML: the one key besides the name.
fn kind(volume: &Volume) -> String {
    let json = serde_json::to_value(volume).ok();
    let kind = json
        .as_ref()
        .and_then(|json| json.as_object())
        .and_then(|object| object.keys().find(|key| *key != "name").cloned());
    kind.unwrap_or_else(|| "unknown kind".to_owned())
}
