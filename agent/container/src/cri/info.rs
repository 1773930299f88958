//! What containerd and CRI-O say about themselves in the verbose status, as JSON under the key `info`.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::CriError;

/// The verbose account of a container or sandbox. Fields that only one runtime has are optional.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Info {
    /// The first process, as a PID of the host; 0 if there is none.
    pub pid: i32,
    /// containerd: `io.containerd.runc.v2`.
    pub runtime_type: String,
    /// containerd, sandboxes: the handler's name.
    pub runtime_handler: String,
    /// containerd: the options of the runtime's shim.
    pub runtime_options: Option<RuntimeOptions>,
    /// containerd: the key of the container's writable snapshot.
    pub snapshot_key: String,
    /// containerd: `overlayfs` or another snapshotter.
    pub snapshotter: String,
    /// The OCI spec that the container was made from.
    pub runtime_spec: Option<Spec>,
}

/// Options of containerd's runc shim (`containerd.runc.v1.Options`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RuntimeOptions {
    /// The OCI runtime's program; empty means runc, found by PATH.
    #[serde(alias = "BinaryName")]
    pub binary_name: String,
    /// The directory of the OCI runtime's state; empty means the default.
    #[serde(alias = "Root")]
    pub root: PathBuf,
}

/// The part of an OCI spec that matters here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Spec {
    /// The process to run.
    pub process: Option<SpecProcess>,
    /// What is mounted into the container.
    pub mounts: Vec<SpecMount>,
    /// Annotations, the runtime's own among them.
    pub annotations: HashMap<String, String>,
    /// The Linux part.
    pub linux: Option<SpecLinux>,
}

/// `process` of an OCI spec.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SpecProcess {
    /// Whether it has a terminal.
    pub terminal: bool,
}

/// One of the `mounts` of an OCI spec.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SpecMount {
    /// Where it is in the container.
    pub destination: PathBuf,
    /// The file system's type, `bind` for a directory or file of the host.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is mounted.
    pub source: PathBuf,
    /// Mount options.
    pub options: Vec<String>,
}

/// `linux` of an OCI spec.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SpecLinux {
    /// The cgroup that the runtime was told to make.
    pub cgroups_path: String,
    /// The namespaces, new or joined.
    pub namespaces: Vec<SpecNamespace>,
}

/// One namespace of an OCI spec.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SpecNamespace {
    /// `network`, `pid`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The namespace to join; empty for a new one.
    pub path: PathBuf,
}

impl Spec {
    /// The path of a namespace to join, if the spec names one.
    pub fn namespace(&self, kind: &str) -> Option<PathBuf> {
        let namespaces = &self.linux.as_ref()?.namespaces;
        let found = namespaces.iter().find(|namespace| namespace.kind == kind)?;
        (!found.path.as_os_str().is_empty()).then(|| found.path.clone())
    }
}

/// Takes the account out of the `info` map of a verbose status.
pub(crate) fn parse(info: &HashMap<String, String>, of: &str) -> Result<Info, CriError> {
    let text = info
        .get("info")
        .ok_or_else(|| CriError::NoInfo { of: of.to_owned() })?;
    serde_json::from_str(text).map_err(|source| CriError::BadInfo {
        of: of.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> HashMap<String, String> {
        HashMap::from([("info".to_owned(), text.to_owned())])
    }

    #[test]
    fn containerds_account_of_a_container() {
        let info = parse(
            &map(include_str!("../../tests/fixtures/containerd-container.json")),
            "c",
        )
        .unwrap();
        assert_eq!(info.runtime_type, "io.containerd.runc.v2");
        assert!(info.pid > 0);
        let spec = info.runtime_spec.unwrap();
        assert!(
            spec.mounts
                .iter()
                .any(|mount| mount.destination == std::path::Path::new("/dev/shm"))
        );
        assert!(!spec.process.unwrap().terminal);
    }

    #[test]
    fn crio_has_fewer_fields() {
        let text = r#"{"sandboxID":"b1","pid":812,"runtimeSpec":{"ociVersion":"1.2.0","process":{"terminal":true},
            "mounts":[{"destination":"/proc","type":"proc","source":"proc"}],
            "linux":{"namespaces":[{"type":"network","path":"/var/run/netns/a"},{"type":"pid"}]}},"privileged":false}"#;
        let info = parse(&map(text), "c").unwrap();
        assert_eq!(info.pid, 812);
        assert!(info.runtime_options.is_none());
        let spec = info.runtime_spec.unwrap();
        assert_eq!(spec.namespace("network"), Some("/var/run/netns/a".into()));
        assert_eq!(spec.namespace("pid"), None);
        assert!(spec.process.unwrap().terminal);
    }

    #[test]
    fn options_of_a_handler_in_either_spelling() {
        for text in [
            r#"{"runtimeOptions":{"binary_name":"/x","root":"/r"}}"#,
            r#"{"runtimeOptions":{"BinaryName":"/x","Root":"/r"}}"#,
        ] {
            let options = parse(&map(text), "c").unwrap().runtime_options.unwrap();
            assert_eq!(
                (options.binary_name.as_str(), options.root),
                ("/x", PathBuf::from("/r"))
            );
        }
    }

    #[test]
    fn a_missing_or_broken_account_is_an_error_with_a_reason() {
        assert_eq!(parse(&HashMap::new(), "c").unwrap_err().reason(), "NoVerboseInfo");
        assert_eq!(parse(&map("{"), "c").unwrap_err().reason(), "BadVerboseInfo");
    }
}
