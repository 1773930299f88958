//! Volumes that both nodes have mounted at once: their content stays where it is, and so does who holds which lock on it.
//!
//! What the pod has written may still be in this node's memory alone, since a network file system writes back when a file is synced or closed
//! ("close-to-open", nfs(5)), and a frozen process closes nothing. So they are synced, while the pod runs and in the freeze.
//!
//! A lock is the source's until its process is gone, which is after the commit; CRIU has the restored process wait for the same lock before the commit
//! (`restore_file_lock` in criu/file-lock.c: `F_SETLKW`, `flock` without `LOCK_NB`). So a pod that holds one is not moved. A lock on a file of any other volume is on the
//! target's own copy, where nobody else is.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use godwit_container::{cgroup::Freezer, host::Host};
use godwit_proc::{bounded, mountinfo};
use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};
use thiserror::Error;
use tokio::{task, time::timeout};

use super::facts::SourcePod;
use crate::{failure::Failure, step::SourceStep, volumes::beneath};

/// Most bytes of one file of `/proc/PID/fdinfo`.
const LIMIT: usize = 1 << 20;

/// How long it may take to sync them while the pod runs.
const SYNCED_WITHIN: Duration = Duration::from_mins(1);
/// The same in the freeze, when little is left to be written.
const SYNCED_FROZEN_WITHIN: Duration = Duration::from_secs(2);

/// Why the pod cannot leave.
#[derive(Debug, Error)]
pub enum SharedError {
    /// It holds a lock.
    #[error(
        "container {container}: process {pid} has a lock on {}, which is on a volume that both nodes share, where a lock cannot be handed over yet; \
         migrate when it is let go, or keep what is locked on a volume of the pod's own",
        path.display()
    )]
    Locked {
        /// Whose process.
        container: String,
        /// The process, in the node's numbers.
        pid: i32,
        /// The file, as the process sees it.
        path: PathBuf,
    },
    /// Its server does not take what the pod has written.
    #[error(
        "container {container}: the volume at {}, which both nodes share, cannot be synced; does its server answer?",
        path.display()
    )]
    Sync {
        /// Whose mount.
        container: String,
        /// Where, in its view.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It takes it too slowly.
    #[error(
        "volumes that both nodes share were not synced within {} s; does their server answer?",
        limit.as_secs()
    )]
    Slow {
        /// How long they had.
        limit: Duration,
    },
}

impl SharedError {
    /// Stable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "SharedFileLocked",
            Self::Sync { .. } | Self::Slow { .. } => "SharedVolumeNotSynced",
        }
    }
}

/// Where a container sees volumes that other nodes can have mounted as well (preflight lets only such claims through).
pub(super) fn mounts(spec: &PodSpec, container: &Container) -> Vec<PathBuf> {
    let is_shared = |name: &str| {
        let mut volumes = spec.volumes.iter().flatten();
        volumes.any(|volume| volume.name == name && is_shared(volume))
    };
    let mounts = container.volume_mounts.iter().flatten();
    mounts
        .filter(|mount| is_shared(&mount.name))
        .map(|mount| PathBuf::from(&mount.mount_path))
        .collect()
}

fn is_shared(volume: &Volume) -> bool {
    volume.persistent_volume_claim.is_some()
        || volume.nfs.is_some()
        || volume.cephfs.is_some()
        || volume.azure_file.is_some()
        || volume.glusterfs.is_some()
}

/// A container that has some.
struct Sharer {
    name: String,
    freezer: Freezer,
    mounts: Vec<PathBuf>,
}

/// While the pod runs: fails at once if it could not leave, and has most of what it has written taken by the server.
pub(super) async fn prepare(host: &Host, pod: &SourcePod) -> Result<(), Failure> {
    look(host, pod, SourceStep::Discover, SYNCED_WITHIN).await
}

/// The same once the pod is frozen, when neither can change any more.
pub(super) async fn settle(host: &Host, pod: &SourcePod) -> Result<(), Failure> {
    look(host, pod, SourceStep::Freeze, SYNCED_FROZEN_WITHIN).await
}

/// Of a pod without such volumes nothing is looked at.
async fn look(host: &Host, pod: &SourcePod, step: SourceStep, limit: Duration) -> Result<(), Failure> {
    let sharers: Vec<_> = pod
        .containers
        .iter()
        .filter(|it| !it.shared.is_empty())
        .map(|it| Sharer {
            name: it.name().to_owned(),
            freezer: it.freezer.clone(),
            mounts: it.shared.clone(),
        })
        .collect();
    if sharers.is_empty() {
        return Ok(());
    }
    let host = host.clone();
    let looking = task::spawn_blocking(move || {
        sharers.iter().try_for_each(|it| it.no_lock(&host))?;
        sharers.iter().try_for_each(|it| it.sync(&host))
    });
    // Where a server is gone the thread stays in the kernel, and the pod must not.
    let looked = match timeout(limit, looking).await {
        Ok(looked) => looked.map_err(|error| Failure::from_error(step, "Internal", &error))?,
        Err(_) => Err(SharedError::Slow { limit }),
    };
    looked.map_err(|error| Failure::from_error(step, error.reason(), &error))
}

impl Sharer {
    fn no_lock(&self, host: &Host) -> Result<(), SharedError> {
        let mut processes = self.freezer.processes().unwrap_or_default().into_iter();
        let found = processes.find_map(|pid| Some((pid, locked_by(&host.process(pid), &self.mounts).pop()?)));
        found.map_or(Ok(()), |(pid, path)| {
            Err(SharedError::Locked {
                container: self.name.clone(),
                pid,
                path,
            })
        })
    }

    /// By the root of a process, which may lie about links but not about what is mounted.
    fn sync(&self, host: &Host) -> Result<(), SharedError> {
        let processes = self.freezer.processes().unwrap_or_default();
        let Some(pid) = processes.first() else {
            return Ok(());
        };
        self.mounts.iter().try_for_each(|path| {
            let synced = File::open(host.process(*pid).join("root")).and_then(|root| {
                let directory = beneath(&root, path)?;
                rustix::fs::syncfs(directory)?;
                Ok(())
            });
            synced.map_err(|source| SharedError::Sync {
                container: self.name.clone(),
                path: path.clone(),
                source,
            })
        })
    }
}

/// The files on these mounts that the process holds a lock on. One that ends meanwhile holds none.
fn locked_by(process: &Path, shared: &[PathBuf]) -> Vec<PathBuf> {
    let (Ok(mounts), Ok(descriptors)) = (mountinfo::read(process), fs::read_dir(process.join("fdinfo")))
    else {
        return Vec::new();
    };
    let ids: BTreeSet<u64> = mounts
        .iter()
        .filter(|mount| shared.iter().any(|path| mount.point.starts_with(path)))
        .map(|mount| mount.id)
        .collect();
    let files = descriptors.flatten().filter_map(|entry| {
        let text = bounded::read_text(&entry.path(), LIMIT).ok()?;
        let is_it = holds_lock(&text) && ids.contains(&mount_id(&text)?);
        is_it.then(|| fs::read_link(process.join("fd").join(entry.file_name())).unwrap_or_default())
    });
    files.collect()
}

/// Whether `/proc/PID/fdinfo/FD` has a line for a lock (`proc_pid_fdinfo(5)`).
fn holds_lock(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("lock:"))
}

/// Its mount, as mountinfo numbers it.
fn mount_id(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_other_nodes_can_have_is_shared() {
        let spec: PodSpec = serde_json::from_value(json!({
            "containers": [{"name": "main", "volumeMounts": [
                {"name": "claim", "mountPath": "/a"}, {"name": "own", "mountPath": "/b"},
                {"name": "served", "mountPath": "/c", "subPath": "part"},
            ]}],
            "volumes": [
                {"name": "claim", "persistentVolumeClaim": {"claimName": "x"}},
                {"name": "own", "emptyDir": {}},
                {"name": "served", "nfs": {"server": "s", "path": "/"}},
            ],
        }))
        .unwrap();
        assert_eq!(
            mounts(&spec, &spec.containers[0]),
            [Path::new("/a"), Path::new("/c")]
        );
    }

    #[test]
    fn a_lock_is_found_on_such_a_mount_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap().join("file");
        let file = File::create(&path).unwrap();
        let own = Path::new("/proc/self");
        let mounted: Vec<PathBuf> = mountinfo::read(own)
            .unwrap()
            .into_iter()
            .map(|mount| mount.point)
            .filter(|point| path.starts_with(point))
            .collect();
        file.lock().unwrap();
        // Whoever runs the tests may have given this process locked files of its own.
        assert!(locked_by(own, &mounted).contains(&path));
        assert!(locked_by(own, &["/proc".into()]).is_empty());
        file.unlock().unwrap();
        assert!(!locked_by(own, &mounted).contains(&path));
    }
}
