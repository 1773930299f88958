//! Freezing and thawing what is in a container.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::hierarchy::{memberships, processes};
use super::{CgroupError, v1, v2};
use crate::host::Host;
use crate::process;

/// How long one look waits for the next: freezing takes some ten microseconds per process, and every millisecond here is one of the
/// freeze.
const POLL: Duration = Duration::from_micros(100);

/// Which version of cgroups has a controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    /// A hierarchy for each controller, among them the freezer.
    V1,
    /// One hierarchy for all; freezing (`cgroup.freeze`) needs no controller.
    V2,
}

/// Whether the processes of a group may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// They run.
    Thawed,
    /// Some are frozen, all are to be.
    Freezing,
    /// None runs.
    Frozen,
}

/// The freezer of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freezer {
    version: Version,
    directory: PathBuf,
}

impl Freezer {
    /// The freezer of the group that process `pid` is in. As runc does, the controller of version 1 is preferred where it is mounted.
    /// A group that also holds `host`'s own first process or the caller is refused.
    pub fn of_pid(host: &Host, pid: i32) -> Result<Self, CgroupError> {
        let of = |pid| {
            let all = memberships(host, pid)?;
            let v1 = all
                .iter()
                .find(|one| one.has("freezer"))
                .map(|one| (Version::V1, one.directory.clone()));
            v1.or_else(|| {
                all.iter()
                    .find(|one| one.is_v2())
                    .map(|one| (Version::V2, one.directory.clone()))
            })
            .ok_or(CgroupError::NotMounted { pid })
        };
        let (version, directory) = of(pid)?;
        for other in [host.pid, i32::try_from(std::process::id()).unwrap_or(host.pid)] {
            // The caller may be in groups that the host does not mount; then it is surely not in this one.
            if of(other).is_ok_and(|(_, theirs)| theirs.starts_with(&directory)) {
                return Err(CgroupError::NotItsOwn { path: directory });
            }
        }
        Ok(Self::at(version, &host.path(&directory)))
    }

    /// The freezer of the group at `directory`, as this process can reach it.
    pub fn at(version: Version, directory: &Path) -> Self {
        Self {
            version,
            directory: directory.to_owned(),
        }
    }

    /// The group's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Version 1 or 2.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The state now.
    pub fn state(&self) -> Result<State, CgroupError> {
        match self.version {
            Version::V1 => v1::state(&self.directory),
            Version::V2 => v2::state(&self.directory),
        }
    }

    /// Asks for the freeze and does not wait for it.
    pub fn request_freeze(&self) -> Result<(), CgroupError> {
        self.request(true)
    }

    /// Freezes and waits at most `deadline` for the last process. Blocks the thread. After an error the request stays: see [`Self::thaw`].
    pub fn freeze(&self, deadline: Duration) -> Result<(), CgroupError> {
        self.request(true)?;
        self.wait(State::Frozen, Instant::now(), deadline)
    }

    /// Thaws and waits at most `deadline`. Fails if a group above is frozen, since nothing runs then.
    pub fn thaw(&self, deadline: Duration) -> Result<(), CgroupError> {
        self.request(false)?;
        self.wait(State::Thawed, Instant::now(), deadline)
    }

    /// Every process in the container.
    pub fn processes(&self) -> Result<BTreeSet<i32>, CgroupError> {
        processes(&self.directory)
    }

    fn request(&self, frozen: bool) -> Result<(), CgroupError> {
        match self.version {
            Version::V1 => v1::request(&self.directory, frozen),
            Version::V2 => v2::request(&self.directory, frozen),
        }
    }

    fn wait(&self, wanted: State, since: Instant, deadline: Duration) -> Result<(), CgroupError> {
        loop {
            let state = self.state()?;
            if state == wanted {
                return Ok(());
            }
            if since.elapsed() >= deadline {
                let hint = self.hint();
                return Err(CgroupError::Deadline {
                    path: self.directory.clone(),
                    wanted,
                    milliseconds: deadline.as_millis(),
                    hint,
                });
            }
            // Version 1 gives a task that came in the way (a fork, a vfork's parent) another chance only when asked again.
            if state == State::Freezing && self.version == Version::V1 {
                self.request(wanted == State::Frozen)?;
            }
            std::thread::sleep(POLL);
        }
    }

    /// Names a process that cannot be stopped at the moment, which is what keeps a group from freezing.
    fn hint(&self) -> String {
        let stuck = |pid: &i32| process::stat(Path::new("/proc"), *pid).is_ok_and(|stat| stat.state == 'D');
        let found = self.processes().ok().and_then(|all| all.into_iter().find(stuck));
        found
            .map(|pid| format!(": process {pid} waits in the kernel (state D)"))
            .unwrap_or_default()
    }
}

/// Freezes many groups as one: all are asked first, then all are waited for, `deadline` in total. If one fails, those that ran
/// before are thawed again, and the error is of the first that failed. Blocks the thread.
pub fn freeze_all(freezers: &[Freezer], deadline: Duration) -> Result<(), CgroupError> {
    let since = Instant::now();
    let mut ran_before = Vec::new();
    let work = || {
        for freezer in freezers {
            if freezer.state()? == State::Thawed {
                ran_before.push(freezer);
            }
            freezer.request_freeze()?;
        }
        freezers
            .iter()
            .try_for_each(|freezer| freezer.wait(State::Frozen, since, deadline))
    };
    let result: Result<(), CgroupError> = { work }();
    if result.is_err() {
        for freezer in ran_before {
            if let Err(error) = freezer.request(false) {
                tracing::error!(group = %freezer.directory.display(), %error, "cannot thaw after a failed freeze");
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fake(text: &str) -> (tempfile::TempDir, Freezer) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("freezer.state"), text).unwrap();
        std::fs::write(dir.path().join("cgroup.procs"), "").unwrap();
        let freezer = Freezer::at(Version::V1, dir.path());
        (dir, freezer)
    }

    #[test]
    fn if_one_cannot_be_frozen_those_that_ran_are_thawed_and_those_that_were_frozen_stay() {
        let (ran, first) = fake("THAWED\n");
        let (paused, second) = fake("FROZEN\n");
        let missing = Freezer::at(Version::V1, Path::new("/nonexistent"));
        let error = freeze_all(&[first, second, missing], Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.reason(), "CgroupUnusable");
        assert_eq!(
            std::fs::read_to_string(ran.path().join("freezer.state")).unwrap(),
            "THAWED"
        );
        assert_eq!(
            std::fs::read_to_string(paused.path().join("freezer.state")).unwrap(),
            "FROZEN"
        );
    }

    #[test]
    fn a_state_that_never_comes_meets_the_deadline() {
        let (_dir, freezer) = fake("THAWED\n");
        let error = freezer
            .wait(State::Frozen, Instant::now(), Duration::from_millis(3))
            .unwrap_err();
        assert_eq!(error.reason(), "FreezeTimeout");
    }

    #[test]
    fn an_unknown_state_is_an_error() {
        let (_dir, freezer) = fake("MELTING\n");
        assert_eq!(freezer.state().unwrap_err().reason(), "CgroupUnusable");
    }

    #[test]
    fn the_callers_own_group_is_refused() {
        let host = Host::own();
        let error = Freezer::of_pid(&host, host.pid).unwrap_err();
        assert_eq!(error.reason(), "CgroupShared");
    }
}
