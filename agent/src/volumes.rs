//! Volumes of a pod whose content travels: where they are on this node.
//!
//! The directory is kubelet's own, not what a container sees of it: a container may have mounted a part of the volume only
//! (`subPath`), at several places, or not at all. Kubelet makes it before any container of the pod, parking ones too.

use std::{
    fs::File,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use godwit_container::discover::{DiscoverError, empty_dir, pod_directory};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use thiserror::Error;

use crate::node::Node;

/// Why a volume is not there.
#[derive(Debug, Error)]
pub enum VolumeError {
    /// The container runtime.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// The node's root directory.
    #[error("the node's root directory cannot be opened")]
    Root(#[source] std::io::Error),
    /// Its directory.
    #[error(
        "the pod has no emptyDir volume {volume} on this node: {} cannot be opened; does kubelet keep its files elsewhere?",
        path.display()
    )]
    Missing {
        /// Its name in the pod's spec.
        volume: String,
        /// Where it should be, in the node's view.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl VolumeError {
    /// Stable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Discover(error) => error.reason(),
            Self::Root(_) => "NodeUnreadable",
            Self::Missing { .. } => "VolumeMissing",
        }
    }
}

/// The directory of a volume.
///
/// As long as one lives kubelet cannot unmount a volume in memory, and so cannot remove its pod: drop it as soon as it is not needed.
#[derive(Debug)]
pub struct Volume {
    /// Its name in the pod's spec.
    pub name: String,
    /// Its content.
    pub directory: OwnedFd,
}

/// Opens the directories of these emptyDir volumes of a pod on this node. `names` are DNS labels.
///
/// Errors: [`VolumeError::Missing`] names the first that is not there.
pub async fn open(node: &Node, pod_uid: &str, names: &[String]) -> Result<Vec<Volume>, VolumeError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let pod = pod_directory(&node.cri, pod_uid).await?;
    let root = File::open(node.host.root()).map_err(VolumeError::Root)?;
    names
        .iter()
        .map(|name| {
            let path = empty_dir(&pod, name);
            match beneath(&root, &path) {
                Ok(directory) => Ok(Volume {
                    name: name.clone(),
                    directory,
                }),
                Err(errno) => Err(VolumeError::Missing {
                    volume: name.clone(),
                    path,
                    source: errno.into(),
                }),
            }
        })
        .collect()
}

/// Opens a directory below a root: the node's, or a container's. Kubelet's own directory may be a symbolic link, which has to be followed as on the node.
pub(crate) fn beneath(root: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat2(
        root,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_where_they_lead_on_the_node() {
        let tmp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tmp.path().join("data/kubelet/pods/u/v")).unwrap();
        std::fs::create_dir_all(tmp.path().join("var/lib")).unwrap();
        std::os::unix::fs::symlink("/data/kubelet", tmp.path().join("var/lib/kubelet")).unwrap();
        let root = File::open(tmp.path()).unwrap();
        assert!(beneath(&root, Path::new("/var/lib/kubelet/pods/u/v")).is_ok());
        assert!(beneath(&root, Path::new("/var/lib/kubelet/pods/u/w")).is_err());
        // The volume itself is a directory that kubelet has made.
        std::os::unix::fs::symlink("v", tmp.path().join("data/kubelet/pods/u/link")).unwrap();
        assert!(beneath(&root, Path::new("/var/lib/kubelet/pods/u/link")).is_err());
    }
}
