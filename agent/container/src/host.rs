//! The node, as seen from inside the agent's container.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};
use serde::{Deserialize, Serialize};

/// The node's namespaces, named by a process that lives in them: the node's PID 1 for an agent. Needs an agent that shares the
/// node's PID namespace, and whose `/proc` therefore is the node's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Where procfs is mounted.
    pub proc: PathBuf,
    /// The process whose namespaces are the host's.
    pub pid: i32,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            proc: PathBuf::from("/proc"),
            pid: 1,
        }
    }
}

impl Host {
    /// The host as the calling process sees it: for programs that are not in a container, and for tests.
    pub fn own() -> Self {
        Self {
            pid: std::process::id().try_into().unwrap_or(1),
            ..Self::default()
        }
    }

    /// `/proc/PID` of any process.
    pub fn process(&self, pid: i32) -> PathBuf {
        self.proc.join(pid.to_string())
    }

    /// The host's root directory. Such a path also works for a process that has entered the host's mount namespace.
    pub fn root(&self) -> PathBuf {
        self.process(self.pid).join("root")
    }

    /// The path by which a file of the host can be reached: `path` (absolute, in the host's view) below [`Self::root`].
    pub fn path(&self, path: &Path) -> PathBuf {
        self.root().join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Undoes [`Self::path`]: the host's own view of a path below its root; other paths stay as they are.
    pub fn in_host_view(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.root())
            .map_or_else(|_| path.to_owned(), |rest| Path::new("/").join(rest))
    }

    /// Runs `work` with the host's cgroup namespace, in whose terms `/proc/PID/cgroup` and the cgroup lines of
    /// `/proc/PID/mountinfo` are then written (the kernel renders them for the *reader's* namespace). Uses a thread of
    /// its own if the caller is in another cgroup namespace, none otherwise.
    pub fn in_cgroup_namespace<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let Some(namespace) = self.namespace_if_other("cgroup")? else {
            return Ok(work());
        };
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    setns(&namespace, CloneFlags::CLONE_NEWCGROUP)?;
                    Ok(work())
                })
                .join()
                .unwrap_or_else(|_| {
                    Err(io::Error::other(
                        "the thread in the host's cgroup namespace failed",
                    ))
                })
        })
    }

    /// Moves the calling process into the host's namespaces, except those of PIDs and users; its root and working directory
    /// become the host's root. The process must have one thread only: the kernel refuses the mount namespace otherwise.
    pub fn enter(&self) -> io::Result<()> {
        let kinds = [
            ("cgroup", CloneFlags::CLONE_NEWCGROUP),
            ("uts", CloneFlags::CLONE_NEWUTS),
            ("ipc", CloneFlags::CLONE_NEWIPC),
            ("net", CloneFlags::CLONE_NEWNET),
            // Last: it changes what every path means.
            ("mnt", CloneFlags::CLONE_NEWNS),
        ];
        let mut wanted = Vec::new();
        for (name, flag) in kinds {
            if let Some(file) = self.namespace_if_other(name)? {
                wanted.push((file, flag));
            }
        }
        for (file, flag) in wanted {
            setns(&file, flag)?;
        }
        std::env::set_current_dir("/")
    }

    fn namespace_if_other(&self, name: &str) -> io::Result<Option<File>> {
        let theirs = File::open(self.process(self.pid).join("ns").join(name))?;
        let (their, own) = (
            theirs.metadata()?,
            std::fs::metadata(format!("/proc/thread-self/ns/{name}"))?,
        );
        Ok((their.ino() != own.ino() || their.dev() != own.dev()).then_some(theirs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_below_the_hosts_root_and_back() {
        let host = Host::default();
        let path = host.path(Path::new("/run/godwit/x"));
        assert_eq!(path, Path::new("/proc/1/root/run/godwit/x"));
        assert_eq!(host.in_host_view(&path), Path::new("/run/godwit/x"));
        assert_eq!(host.in_host_view(Path::new("/tmp/y")), Path::new("/tmp/y"));
    }

    #[test]
    fn in_its_own_namespace_the_work_runs_on_the_callers_thread() {
        let caller = std::thread::current().id();
        let ran = Host::own()
            .in_cgroup_namespace(|| std::thread::current().id())
            .unwrap();
        assert_eq!(ran, caller);
    }

    #[test]
    fn a_host_that_is_gone_is_an_error() {
        let host = Host {
            pid: i32::MAX,
            ..Host::default()
        };
        assert_eq!(
            host.in_cgroup_namespace(|| ()).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
