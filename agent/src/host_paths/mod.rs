//! Files of the node itself that a pod mounts read-only (`hostPath`). They do not travel: the target's node must have the same, and that is proven
//! before anything else is done, by [fingerprints](fingerprint).

mod fingerprint;

use std::path::{Path, PathBuf};

use godwit_container::host::Host;
use godwit_transfer::HostPath;
use k8s_openapi::api::core::v1::PodSpec;
use thiserror::Error;
use tokio::task::spawn_blocking;

use self::fingerprint::{Fingerprint, FingerprintError};

/// Why a path of the node stands in the way.
#[derive(Debug, Error)]
pub(crate) enum HostPathError {
    /// It cannot be compared here.
    #[error("hostPath {}: it must be proven to be the same on both nodes, and that cannot be done on {node}", path.display())]
    Incomparable {
        /// Which.
        path: PathBuf,
        /// Where.
        node: String,
        /// Why.
        source: FingerprintError,
    },
    /// It is another one here.
    #[error(
        "hostPath {}: {entries} files with {bytes} bytes on the source's node, {here_entries} with {here_bytes} on {node}, and not the same: make them equal (contents, modes, owners), or do without the volume",
        path.display()
    )]
    Differs {
        /// Which.
        path: PathBuf,
        /// The target's node.
        node: String,
        /// Entries at the source.
        entries: u64,
        /// Bytes at the source.
        bytes: u64,
        /// Entries here.
        here_entries: u64,
        /// Bytes here.
        here_bytes: u64,
    },
    /// The thread that reads them ended.
    #[error("the files of the node could not be read to the end")]
    Thread,
}

impl HostPathError {
    /// Stable.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Incomparable { .. } => "HostPathIncomparable",
            Self::Differs { .. } => "HostPathDiffers",
            Self::Thread => "Internal",
        }
    }
}

/// The paths of the pod's `hostPath` volumes, each once. The operator lets only those through that are mounted read-only.
pub(crate) fn of_pod(spec: &PodSpec) -> Vec<PathBuf> {
    let volumes = spec.volumes.iter().flatten();
    let mut paths: Vec<PathBuf> = volumes
        .filter_map(|volume| Some(PathBuf::from(&volume.host_path.as_ref()?.path)))
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

/// What the target is told of them. `node` is this one, for messages.
pub(crate) async fn describe(
    host: &Host,
    node: &str,
    paths: &[PathBuf],
) -> Result<Vec<HostPath>, HostPathError> {
    let mut described = Vec::new();
    for path in paths {
        let found = look(host, node, path).await?;
        described.push(HostPath {
            path: path.to_string_lossy().into_owned(),
            digest: found.digest.to_vec().into(),
            entries: found.entries,
            bytes: found.bytes,
        });
    }
    Ok(described)
}

/// Fails unless this node has the same.
pub(crate) async fn compare(host: &Host, node: &str, wanted: &[HostPath]) -> Result<(), HostPathError> {
    for wanted in wanted {
        let path = PathBuf::from(&wanted.path);
        let found = look(host, node, &path).await?;
        if wanted.digest != found.digest.as_slice() {
            return Err(HostPathError::Differs {
                path,
                node: node.to_owned(),
                entries: wanted.entries,
                bytes: wanted.bytes,
                here_entries: found.entries,
                here_bytes: found.bytes,
            });
        }
    }
    Ok(())
}

/// Bounded in files and bytes, so it ends.
async fn look(host: &Host, node: &str, path: &Path) -> Result<Fingerprint, HostPathError> {
    let (root, at) = (host.root(), path.to_owned());
    let looked = spawn_blocking(move || fingerprint::of(&root, &at)).await;
    looked
        .map_err(|_| HostPathError::Thread)?
        .map_err(|source| HostPathError::Incomparable {
            path: path.to_owned(),
            node: node.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn another_content_is_told_with_both_sides() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "one").unwrap();
        let host = Host::own();
        let described = describe(&host, "n1", std::slice::from_ref(&path)).await.unwrap();
        compare(&host, "n2", &described).await.unwrap();
        std::fs::write(&path, "another").unwrap();
        let error = compare(&host, "n2", &described).await.unwrap_err();
        assert_eq!(error.reason(), "HostPathDiffers");
        let text = error.to_string();
        assert!(text.contains("3 bytes") && text.contains("7 on n2"), "{text}");
        std::fs::remove_file(&path).unwrap();
        let error = compare(&host, "n2", &described).await.unwrap_err();
        assert_eq!(error.reason(), "HostPathIncomparable");
    }

    #[test]
    fn each_path_is_asked_for_once() {
        let spec = serde_json::json!({"containers": [], "volumes": [
            {"name": "b", "hostPath": {"path": "/etc/b"}},
            {"name": "a", "hostPath": {"path": "/etc/a"}},
            {"name": "b-again", "hostPath": {"path": "/etc/b"}},
            {"name": "c", "emptyDir": {}},
        ]});
        let paths = of_pod(&serde_json::from_value(spec).unwrap());
        assert_eq!(paths, [Path::new("/etc/a"), Path::new("/etc/b")]);
    }
}
