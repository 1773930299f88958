//! One container at the target, from its record to its restore: how the agent talks to `godwit-runtime`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use godwit_runtime::{
    layout::{Layout, LayoutError},
    record::{self, Failed, Parked, Record, RecordDir, RecordError, Restored},
    wrapper::marks,
};
use nix::errno::Errno;
use thiserror::Error;
use tokio::time::{Instant, sleep};

use crate::appear::{AppearError, appear};

/// How often it is looked at whether a container has failed while something else is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Why a container is not restored.
#[derive(Debug, Error)]
pub enum ContainerError {
    /// A name that is no file name.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The record directory.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Something did not come in time.
    #[error(transparent)]
    Appear(#[from] AppearError),
    /// The runtime says why.
    #[error("container {container}: {}", failed.message)]
    Runtime {
        /// Which container.
        container: String,
        /// What the runtime wrote.
        failed: Failed,
    },
    /// A file of the runtime is missing although it said that it was there.
    #[error("container {container}: the runtime took back its {file}")]
    Vanished {
        /// Which container.
        container: String,
        /// Which file.
        file: &'static str,
    },
    /// A directory.
    #[error("{} cannot be made", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ContainerError {
    /// Stable reason.
    pub fn reason(&self) -> String {
        match self {
            Self::Layout(error) => error.reason().to_owned(),
            Self::Record(error) => error.reason().to_owned(),
            Self::Appear(error) => error.reason().to_owned(),
            Self::Runtime { failed, .. } => failed.reason.clone(),
            Self::Vanished { .. } => "RuntimeLost".to_owned(),
            Self::Directory { .. } => "DirectoryUnusable".to_owned(),
        }
    }
}

/// A container that is to be restored here.
#[derive(Debug)]
pub struct TargetContainer {
    /// Its name in the pod's spec.
    pub name: String,
    /// Where its images go, as the agent sees it.
    pub image_dir: PathBuf,
    /// Whether its memory comes apart from its images.
    pub lazy: bool,
    record: RecordDir,
}

impl TargetContainer {
    /// Makes its record and its directories: from now on its `create` parks.
    ///
    /// `agent` and `node` are the layouts as the agent and as the runtime see them; `deadline_ms` is unix time.
    pub fn make(
        (agent, node): (&Layout, &Layout),
        migration: &str,
        pod_uid: &str,
        name: &str,
        lazy: bool,
        deadline_ms: u64,
    ) -> Result<Self, ContainerError> {
        let image_dir = agent.image_dir(pod_uid, name)?;
        for directory in [image_dir.clone(), work_dir(&image_dir)] {
            RecordDir::create(agent, &directory)?;
        }
        let record = RecordDir::create(agent, &agent.record_dir(pod_uid, name)?)?;
        let on_node = node.image_dir(pod_uid, name)?;
        record.write_json(
            record::RECORD,
            &Record {
                version: record::VERSION,
                migration: migration.to_owned(),
                work_dir: work_dir(&on_node),
                image_dir: on_node,
                deadline_ms,
                lazy,
            },
        )?;
        Ok(Self {
            name: name.to_owned(),
            image_dir,
            lazy,
            record,
        })
    }

    /// The container of an earlier life of the agent, if its record is still there.
    pub fn reopen(agent: &Layout, pod_uid: &str, name: &str) -> Result<Option<Self>, ContainerError> {
        let image_dir = agent.image_dir(pod_uid, name)?;
        let record = RecordDir::open(agent, &agent.record_dir(pod_uid, name)?)?;
        let Some(record) = record else { return Ok(None) };
        let read: Option<Record> = record.read_json(record::RECORD)?;
        Ok(Some(Self {
            name: name.to_owned(),
            image_dir,
            lazy: read.is_some_and(|record| record.lazy),
            record,
        }))
    }

    /// Waits until its `create` has reached the runtime; gives where its root file system is mounted.
    pub async fn parked(&self, deadline: Instant) -> Result<Parked, ContainerError> {
        self.wait(record::PARKED, "the start of the container by kubelet", deadline)
            .await?;
        self.read(record::PARKED)
    }

    /// Lets the runtime start `runc restore` and waits until CRIU's request is at the gate.
    pub async fn spawn(&self, deadline: Instant) -> Result<(), ContainerError> {
        self.record.mark(record::SPAWN)?;
        self.wait(record::WAITING, "runc, on its way to CRIU,", deadline)
            .await
    }

    /// Returns when its `create` has failed, which it may do while nobody waits for it: CRIU can be killed at its gate.
    pub async fn broken(&self) -> ContainerError {
        loop {
            if let Some(error) = self.failed() {
                return error;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Why its `create` has failed, if it has said so.
    pub fn failed(&self) -> Option<ContainerError> {
        let failed = self.record.read_json(record::FAILED).ok().flatten()?;
        Some(self.by_runtime(failed))
    }

    fn by_runtime(&self, failed: Failed) -> ContainerError {
        ContainerError::Runtime {
            container: self.name.clone(),
            failed,
        }
    }

    /// Opens the gate: images and files are complete.
    pub fn open_gate(&self) -> Result<(), ContainerError> {
        Ok(self.record.mark(record::GO)?)
    }

    /// Waits until it is restored and held.
    pub async fn restored(&self, deadline: Instant) -> Result<Restored, ContainerError> {
        self.wait(record::RESTORED, "the restore of the container", deadline)
            .await?;
        self.read(record::RESTORED)
    }

    /// What has been restored, if anything has.
    pub fn restored_before(&self) -> Result<Option<Restored>, ContainerError> {
        Ok(self.record.read_json(record::RESTORED)?)
    }

    /// From now on its `create` is an ordinary one.
    pub fn committed(&self) -> Result<(), ContainerError> {
        Ok(self.record.mark(record::COMMITTED)?)
    }

    /// Tells the runtime to give up, wherever it waits. Its images are of no use any more: they make room for the word where there is none.
    pub fn abort(&self, message: &str) -> Result<(), ContainerError> {
        let tell = || self.record.write(record::ABORT, message.as_bytes());
        match tell() {
            Err(RecordError::Io {
                source: Errno::ENOSPC | Errno::EDQUOT,
                ..
            }) => {
                // What cannot be removed makes no room, which the second attempt finds out.
                let _ = fs::remove_dir_all(&self.image_dir);
                Ok(tell()?)
            }
            other => Ok(other?),
        }
    }

    /// Removes the runtime's marks of a container that was not restored. The runtime does that itself, unless it was killed: containerd deletes no
    /// container whose `create` has failed.
    pub fn remove_marks(&self, agent: &Layout) -> Result<(), ContainerError> {
        let Some(parked) = self.record.read_json::<Parked>(record::PARKED)? else {
            return Ok(());
        };
        if let Some(directory) = RecordDir::open(agent, &agent.ids_dir())? {
            for mark in marks(&parked.id) {
                directory.remove(&mark)?;
            }
        }
        Ok(())
    }

    async fn wait(
        &self,
        name: &'static str,
        words: &'static str,
        deadline: Instant,
    ) -> Result<(), ContainerError> {
        let found = appear(&self.record, &[record::FAILED, name], words, deadline).await?;
        if found == record::FAILED {
            return Err(self.by_runtime(self.read(record::FAILED)?));
        }
        Ok(())
    }

    fn read<T: serde::de::DeserializeOwned>(&self, file: &'static str) -> Result<T, ContainerError> {
        self.record
            .read_json(file)?
            .ok_or_else(|| ContainerError::Vanished {
                container: self.name.clone(),
                file,
            })
    }
}

/// The work directory of an image directory: CRIU's log and statistics go beside the images, not among them.
fn work_dir(image_dir: &Path) -> PathBuf {
    let mut name = image_dir.as_os_str().to_owned();
    name.push(".work");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(root: &Path) -> TargetContainer {
        fs::create_dir_all(root.join("run")).unwrap();
        let layout = Layout::new(root);
        TargetContainer::make(
            (&layout, &Layout::new("/".as_ref())),
            "migration",
            "pod",
            "app",
            true,
            1,
        )
        .unwrap()
    }

    #[tokio::test]
    async fn the_runtimes_own_words_reach_the_user() {
        let dir = tempfile::tempdir().unwrap();
        let container = container(dir.path());
        let failed = Failed {
            reason: "RestoreFailed".to_owned(),
            message: "Error (criu/files.c:1): no".to_owned(),
        };
        container.record.write_json(record::FAILED, &failed).unwrap();
        let error = container
            .restored(Instant::now() + Duration::from_secs(5))
            .await
            .unwrap_err();
        assert_eq!(error.reason(), "RestoreFailed");
        assert!(error.to_string().contains("criu/files.c:1"), "{error}");
    }

    #[tokio::test]
    async fn a_create_that_fails_behind_our_back_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let container = container(dir.path());
        assert!(container.failed().is_none());
        let failed = Failed {
            reason: "RestoreFailed".to_owned(),
            message: "CRIU was killed".to_owned(),
        };
        let say = async {
            sleep(LOOK_EVERY * 3).await;
            container.record.write_json(record::FAILED, &failed).unwrap();
        };
        let (error, ()) = tokio::join!(container.broken(), say);
        assert_eq!(error.reason(), "RestoreFailed");
    }

    #[tokio::test]
    async fn a_runtime_that_never_comes_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = container(dir.path()).parked(Instant::now()).await.unwrap_err();
        assert!(error.to_string().contains("kubelet"), "{error}");
    }

    #[test]
    fn marks_of_a_container_that_was_never_made_go() {
        let dir = tempfile::tempdir().unwrap();
        let container = container(dir.path());
        let layout = Layout::new(dir.path());
        container.remove_marks(&layout).unwrap();
        let parked = Parked {
            id: "abc".to_owned(),
            bundle: PathBuf::new(),
            pid_file: None,
            rootfs: PathBuf::new(),
            runc_root: None,
            unix_ms: 0,
        };
        container.record.write_json(record::PARKED, &parked).unwrap();
        let ids = RecordDir::create(&layout, &layout.ids_dir()).unwrap();
        for mark in marks("abc").iter().chain(&["other.tried".to_owned()]) {
            ids.mark(mark).unwrap();
        }
        container.remove_marks(&layout).unwrap();
        assert_eq!(ids.names().unwrap(), ["other.tried"]);
    }

    #[test]
    fn the_record_speaks_of_paths_on_the_node() {
        let dir = tempfile::tempdir().unwrap();
        let container = container(dir.path());
        let record: Record = container.record.read_json(record::RECORD).unwrap().unwrap();
        assert_eq!(record.image_dir, PathBuf::from("/run/godwit/images/pod/app"));
        assert_eq!(record.work_dir, PathBuf::from("/run/godwit/images/pod/app.work"));
    }
}
