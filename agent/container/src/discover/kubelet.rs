//! Where kubelet keeps what it makes for a pod.

use std::path::{Path, PathBuf};

use super::{DiscoverError, newest_ready};
use crate::cri::Cri;
use crate::cri::info::{self, SpecMount};

/// Kubelet's directory (`--root-dir`) unless it was told another one.
const KUBELET: &str = "/var/lib/kubelet";

/// Kubelet's directory of this pod (`pkg/kubelet/kubelet_getters.go`, `getPodDir`), in the host's view.
///
/// Whatever kubelet was told is seen by what it has mounted into the pod's containers, parking ones too: every one of them has its
/// `etc-hosts` and its termination log from there. If that tells nothing, it is the directory that kubelet has by default.
/// Errors: as of [`super::discover`].
pub async fn pod_directory(cri: &Cri, pod_uid: &str) -> Result<PathBuf, DiscoverError> {
    let asked = DiscoverError::asked(pod_uid);
    let sandbox = newest_ready(cri.sandboxes(pod_uid).await.map_err(asked)?);
    for container in cri.running_containers(pod_uid).await.map_err(asked)? {
        if sandbox
            .as_ref()
            .is_some_and(|sandbox| sandbox.id != container.pod_sandbox_id)
        {
            continue;
        }
        let status = cri.container_status(&container.id).await.map_err(asked)?;
        let info = info::parse(&status.info, &container.id).map_err(asked)?;
        let mounts = info.runtime_spec.map(|spec| spec.mounts).unwrap_or_default();
        if let Some(found) = directory_in(&mounts, pod_uid) {
            return Ok(found);
        }
    }
    Ok(Path::new(KUBELET).join("pods").join(pod_uid))
}

/// Below a pod's directory: where the content of an emptyDir volume is (`pkg/volume/emptydir/empty_dir.go`; the plugin's name
/// `kubernetes.io/empty-dir` with its slash escaped).
pub fn empty_dir(pod_directory: &Path, volume: &str) -> PathBuf {
    pod_directory.join("volumes/kubernetes.io~empty-dir").join(volume)
}

/// The directory `…/pods/UID` that a source of these mounts lies below.
fn directory_in(mounts: &[SpecMount], pod_uid: &str) -> Option<PathBuf> {
    let of = |mount: &SpecMount| {
        let above = mount.source.ancestors().find(|path| {
            path.file_name().is_some_and(|name| name == pod_uid)
                && path
                    .parent()
                    .and_then(Path::file_name)
                    .is_some_and(|name| name == "pods")
        })?;
        above.is_absolute().then(|| above.to_owned())
    };
    mounts.iter().find_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_told_by_any_mount_below_it() {
        let mount = |source: &str| SpecMount {
            source: source.into(),
            ..SpecMount::default()
        };
        let uid = "8d3a";
        let hosts = mount("/data/kubelet/pods/8d3a/etc-hosts");
        let others = [
            mount("proc"),
            mount("/pods/other/8d3a"),
            mount("/run/sandbox/shm"),
        ];
        assert_eq!(directory_in(&others, uid), None);
        let mut mounts = others.to_vec();
        mounts.push(hosts);
        let found = directory_in(&mounts, uid).unwrap();
        assert_eq!(found, Path::new("/data/kubelet/pods/8d3a"));
        assert_eq!(
            empty_dir(&found, "scratch"),
            Path::new("/data/kubelet/pods/8d3a/volumes/kubernetes.io~empty-dir/scratch")
        );
        assert_eq!(directory_in(&[mount("pods/8d3a/x")], uid), None, "of no host");
    }
}
