//! Which container of which pod a bundle is of, by the annotations that containerd and CRI-O set themselves.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::Deserialize;

/// No configuration is larger.
pub(super) const MAX_CONFIG: u64 = 16 * 1024 * 1024;

/// The container's name within its pod.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) pod_uid: String,
    pub(super) container: String,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Annotations: type, its value for a container, pod UID, container name.
const CONTAINERD: [&str; 3] = [
    "io.kubernetes.cri.container-type",
    "io.kubernetes.cri.sandbox-uid",
    "io.kubernetes.cri.container-name",
];
const CRI_O: [&str; 3] = [
    "io.kubernetes.cri-o.ContainerType",
    "io.kubernetes.pod.uid",
    "io.kubernetes.container.name",
];

/// `None` for a sandbox, for a bundle that is not Kubernetes' and for one that cannot be read.
pub(super) fn identity(bundle: &Path) -> Option<Identity> {
    let file = File::open(bundle.join("config.json")).ok()?;
    let config: Config = serde_json::from_reader(BufReader::new(file.take(MAX_CONFIG))).ok()?;
    of(&config.annotations)
}

fn of(annotations: &BTreeMap<String, String>) -> Option<Identity> {
    [CONTAINERD, CRI_O].iter().find_map(|[kind, uid, name]| {
        (annotations.get(*kind)? == "container").then_some(())?;
        Some(Identity {
            pod_uid: annotations.get(*uid)?.clone(),
            container: annotations.get(*name)?.clone(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(annotations: &str) -> Option<Identity> {
        let bundle = tempfile::tempdir().unwrap();
        let config = format!(r#"{{"ociVersion":"1.2.0","annotations":{{{annotations}}}}}"#);
        std::fs::write(bundle.path().join("config.json"), config).unwrap();
        identity(bundle.path())
    }

    #[test]
    fn containers_are_told_from_sandboxes() {
        let names = r#""io.kubernetes.cri.sandbox-uid":"u","io.kubernetes.cri.container-name":"redis""#;
        let expected = Some(Identity {
            pod_uid: "u".into(),
            container: "redis".into(),
        });
        assert_eq!(
            read(&format!(
                r#""io.kubernetes.cri.container-type":"container",{names}"#
            )),
            expected
        );
        assert_eq!(
            read(&format!(
                r#""io.kubernetes.cri.container-type":"sandbox",{names}"#
            )),
            None
        );
        assert_eq!(read(names), None);
        let crio = r#""io.kubernetes.cri-o.ContainerType":"container","io.kubernetes.pod.uid":"u","io.kubernetes.container.name":"redis""#;
        assert_eq!(read(crio), expected);
    }
}
