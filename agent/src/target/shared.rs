//! Volumes of the target pod that other nodes write to as well, by what kubelet has mounted.

use std::path::{Path, PathBuf};

use super::trees::Mount;

/// Plugins whose volumes are this pod's alone, or only read (names of directories in kubelet's `pods/UID/volumes`).
const OWN: [&str; 6] = [
    "kubernetes.io~empty-dir",
    "kubernetes.io~configmap",
    "kubernetes.io~secret",
    "kubernetes.io~projected",
    "kubernetes.io~downward-api",
    "kubernetes.io~host-path",
];

/// Where the container sees such volumes. `is_there` tells whether a path of the node exists.
pub(super) fn destinations(
    mounts: &[Mount],
    pod_uid: &str,
    is_there: impl Fn(&Path) -> bool,
) -> Vec<PathBuf> {
    let is_shared = |mount: &&Mount| mount.kind == "bind" && is_shared(&mount.source, pod_uid, &is_there);
    mounts
        .iter()
        .filter(is_shared)
        .map(|mount| mount.destination.clone())
        .collect()
}

/// `…/pods/UID/volumes/PLUGIN/NAME…`, or `…/pods/UID/volume-subpaths/NAME/…`, which does not say the plugin (kubernetes pkg/volume/util/subpath).
fn is_shared(source: &Path, pod_uid: &str, is_there: impl Fn(&Path) -> bool) -> bool {
    let Some(pod) = source
        .ancestors()
        .find(|path| path.file_name().is_some_and(|name| name == pod_uid))
    else {
        return false;
    };
    let Ok(rest) = source.strip_prefix(pod) else {
        return false;
    };
    let mut parts = rest.iter().filter_map(|part| part.to_str());
    match (parts.next(), parts.next()) {
        (Some("volumes"), Some(plugin)) => !OWN.contains(&plugin),
        (Some("volume-subpaths"), Some(name)) => !OWN
            .iter()
            .any(|plugin| is_there(&pod.join("volumes").join(plugin).join(name))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubelet_has_mounted_tells_whose_it_is() {
        let pod = Path::new("/var/lib/kubelet/pods/u");
        let own = pod.join("volumes/kubernetes.io~empty-dir/data");
        for (source, shared) in [
            ("volumes/kubernetes.io~nfs/pv-1", true),
            ("volumes/kubernetes.io~csi/pv-1/mount", true),
            ("volumes/kubernetes.io~empty-dir/data", false),
            ("volume-subpaths/pv-1/main/0", true),
            ("volume-subpaths/data/main/0", false),
            ("etc-hosts", false),
        ] {
            let mount = Mount {
                destination: "/v".into(),
                source: pod.join(source),
                kind: "bind".to_owned(),
            };
            let found = destinations(&[mount], "u", |path| path == own);
            assert_eq!(!found.is_empty(), shared, "{source}");
        }
        assert!(!is_shared(Path::new("/opt/files"), "u", |_| false));
    }
}
