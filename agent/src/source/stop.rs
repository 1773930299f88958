//! Freezing a pod at a moment at which it can be dumped.
//!
//! A process that starts a program by `vfork` (shells do, and `posix_spawn`, and with it `system` and `popen` of glibc) waits in the kernel until the
//! child has called `exec`. If both are frozen in between, the parent can be stopped by nobody, and CRIU gives up after ten seconds (`Unseizable non-zombie … state D`).
//!
//! A connection that the pod has made to itself, over loopback, is in the queue of a listening socket until that is asked for it; CRIU dumps no such socket. A proxy
//! beside its program makes one after the other, and no door can be shut on them.
//!
//! Both last a fraction of a millisecond each time; so the pod is let go for a moment then, and frozen again.

use std::{thread, time::Duration};

use godwit_container::{
    cgroup::{CgroupError, Freezer, freeze_all},
    host::Host,
    process,
};
use godwit_memory::track::share_memory;
use godwit_network::Backlog;
use thiserror::Error;
use tokio::time::Instant;

use crate::failure::chain;

/// How long all processes may take to be frozen, and at a moment that will do. A process in uninterruptible sleep can take longer; then the pod
/// is let go again.
const DEADLINE: Duration = Duration::from_secs(2);
/// For how long it is tried to find a moment without connections that nobody has accepted. Not for ever: they may be those of a container that is not dumped, and
/// of others CRIU says it itself.
const ACCEPTED_WITHIN: Duration = Duration::from_millis(500);
/// How long they run between two tries: what was begun is over then.
const LET_GO: Duration = Duration::from_millis(2);

/// Why the pod cannot be frozen.
#[derive(Debug, Error)]
pub enum StopError {
    /// The groups.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// A child uses its parent's memory for longer than a moment.
    #[error(
        "process {child} uses the memory of process {parent}, which waits for it (vfork), and has done so for {} ms: such a pair cannot be \
         dumped; migrate when it has called exec or ended",
        waited.as_millis()
    )]
    Vfork {
        /// The child, in the node's numbers.
        child: i32,
        /// Its parent.
        parent: i32,
        /// How long that was waited for.
        waited: Duration,
    },
}

impl StopError {
    /// Stable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Cgroup(error) => error.reason(),
            Self::Vfork { .. } => "VforkUnfinished",
        }
    }
}

/// Freezes all of `freezers`; no process of the first `moved` of them waits for a child that uses its memory, and as far as possible no connection of `backlog`
/// for somebody to accept it. Gives when the freeze began. Blocks the thread.
///
/// After an error they run, or are asked to.
pub(super) fn stop(
    host: &Host,
    freezers: &[Freezer],
    moved: usize,
    backlog: Option<&Backlog>,
) -> Result<Instant, StopError> {
    let since = Instant::now();
    loop {
        let began = Instant::now();
        freeze_all(freezers, DEADLINE)?;
        let waited = since.elapsed();
        let mut moved = freezers.iter().take(moved);
        let borrower = moved.find_map(|it| borrower(host, it));
        let is_fit = borrower.is_none() && (waited >= ACCEPTED_WITHIN || is_empty(backlog));
        if is_fit {
            return Ok(began);
        }
        freezers.iter().try_for_each(|it| it.thaw(DEADLINE))?;
        if let Some((child, parent)) = borrower
            && waited >= DEADLINE
        {
            return Err(StopError::Vfork {
                child,
                parent,
                waited,
            });
        }
        tracing::info!(vfork = ?borrower, "frozen in the middle of something: once more");
        thread::sleep(LET_GO);
    }
}

/// Whether it is known that nothing waits there. What is not known is left to CRIU.
fn is_empty(backlog: Option<&Backlog>) -> bool {
    let Some(backlog) = backlog else { return true };
    backlog.is_empty().unwrap_or_else(|error| {
        let error = chain(&error);
        tracing::warn!(error, "it is not known whether connections wait to be accepted");
        true
    })
}

/// A process that uses the memory of its parent, and that parent.
fn borrower(host: &Host, freezer: &Freezer) -> Option<(i32, i32)> {
    let processes = freezer.processes().ok()?;
    processes.iter().find_map(|&child| {
        let parent = process::stat(&host.proc, child).ok()?.parent;
        let is_one = processes.contains(&parent) && share_memory(child, parent).unwrap_or(false);
        is_one.then_some((child, parent))
    })
}

#[cfg(test)]
mod tests {
    use std::{ffi::CString, fs, path::Path, ptr};

    use godwit_container::cgroup::Version;
    use nix::{libc, sys::stat::Mode, unistd::mkfifo};

    use super::*;

    /// Starts `/bin/true`, and opens a file for it before, as `posix_spawn(3)` does: in a child that still uses this process's memory.
    fn spawn_behind(fifo: &Path) -> i32 {
        let (path, program) = (CString::new(fifo.to_str().unwrap()).unwrap(), c"/bin/true");
        let words = [program.as_ptr().cast_mut(), ptr::null_mut()];
        let mut pid = 0;
        // SAFETY: the actions are initialised before they are used, and all pointers live until posix_spawn has come back.
        unsafe {
            let mut actions = std::mem::zeroed();
            libc::posix_spawn_file_actions_init(&raw mut actions);
            libc::posix_spawn_file_actions_addopen(&raw mut actions, 9, path.as_ptr(), libc::O_RDONLY, 0);
            let done = libc::posix_spawn(
                &raw mut pid,
                program.as_ptr(),
                &raw const actions,
                ptr::null(),
                words.as_ptr(),
                ptr::null(),
            );
            assert_eq!(done, 0);
        }
        pid
    }

    fn children() -> Vec<i32> {
        let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
        let texts = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
        texts
            .flat_map(|text| {
                text.split_whitespace()
                    .map(|pid| pid.parse().unwrap())
                    .collect::<Vec<i32>>()
            })
            .collect()
    }

    #[test]
    fn a_child_that_uses_its_parents_memory_is_found_until_it_has_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let starts = thread::spawn({
            let fifo = fifo.clone();
            move || spawn_behind(&fifo)
        });
        let own = i32::try_from(std::process::id()).unwrap();
        let freezer = Freezer::at(Version::V1, directory.path());
        let found = (0..500).find_map(|_| {
            thread::sleep(Duration::from_millis(10));
            let all: Vec<String> = children().iter().chain([&own]).map(i32::to_string).collect();
            fs::write(directory.path().join("cgroup.procs"), all.join("\n")).unwrap();
            borrower(&Host::own(), &freezer)
        });
        let (child, parent) = found.unwrap();
        assert_eq!(parent, own);
        // The child's open has its other end now.
        drop(fs::OpenOptions::new().write(true).open(&fifo).unwrap());
        assert_eq!(starts.join().unwrap(), child);
        assert_eq!(borrower(&Host::own(), &freezer), None);
        // SAFETY: it is a child of this process, and nobody else waits for it.
        unsafe { libc::waitpid(child, ptr::null_mut(), 0) };
    }
}
