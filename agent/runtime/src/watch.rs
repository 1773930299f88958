//! Waiting for a file to appear in a directory, with a deadline, without polling.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::record::{RecordDir, RecordError, unix_ms};

/// Why waiting is not possible.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The directory cannot be watched.
    #[error("cannot wait for files in {path}", path = path.display())]
    Watch {
        /// The directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Errno,
    },
    /// The directory cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl WatchError {
    /// The stable reason of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Watch { .. } => "WatchFailed",
            Self::Record(error) => error.reason(),
        }
    }
}

/// Why a wait has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited<'a> {
    /// This file is there.
    File(&'a str),
    /// The descriptor of this index is readable or closed.
    Descriptor(usize),
    /// Nothing happened until the deadline.
    Deadline,
}

/// A watch on a directory.
///
/// Closing one takes 10 to 80 ms: the kernel waits for a grace period of its notification marks (measured on 6.18). So it is to be dropped
/// where time does not count, or given to [`Watch::close_elsewhere`].
#[derive(Debug)]
pub struct Watch {
    inotify: Inotify,
    path: PathBuf,
}

impl Watch {
    /// Watches a directory from now on.
    pub fn new(path: &Path) -> Result<Self, WatchError> {
        let failed = |source| WatchError::Watch {
            path: path.to_path_buf(),
            source,
        };
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(failed)?;
        inotify
            .add_watch(path, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO)
            .map_err(failed)?;
        Ok(Self {
            inotify,
            path: path.to_path_buf(),
        })
    }

    /// Has a process of its own close the watch, so that neither this call nor the end of this process waits for it. For
    /// single-threaded programs only.
    pub fn close_elsewhere(self) {
        // It ends some time after us, so that its close is the last one.
        const AFTER: Duration = Duration::from_millis(50);
        // If there is no process to be had, this one waits.
        if let Ok(None) = crate::process::fork() {
            crate::process::close_streams();
            std::thread::sleep(AFTER);
            std::process::exit(0);
        }
    }

    /// Waits until one of `names` is in `directory` (the watched one), one of `others` is readable or closed, or `deadline_ms`
    /// (milliseconds since 1970) has passed. Earlier names win.
    pub fn wait<'a>(
        &self,
        directory: &RecordDir,
        names: &[&'a str],
        others: &[BorrowedFd<'_>],
        deadline_ms: u64,
    ) -> Result<Waited<'a>, WatchError> {
        let failed = |source| WatchError::Watch {
            path: self.path.clone(),
            source,
        };
        loop {
            for name in names {
                if directory.has(name)? {
                    return Ok(Waited::File(name));
                }
            }
            let left = deadline_ms.saturating_sub(unix_ms());
            if left == 0 {
                return Ok(Waited::Deadline);
            }
            // In slices, because the deadline is on the wall clock, which may be set meanwhile.
            let timeout =
                PollTimeout::try_from(Duration::from_millis(left.min(5_000))).unwrap_or(PollTimeout::MAX);
            let mut polled = vec![PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
            polled.extend(others.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)));
            match poll(&mut polled, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(source) => return Err(failed(source)),
            }
            let ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
            if let Some(index) = polled.iter().skip(1).position(ready) {
                return Ok(Waited::Descriptor(index));
            }
            match self.inotify.read_events() {
                Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(source) => return Err(failed(source)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, RecordDir) {
        let root = tempfile::tempdir().unwrap();
        let directory = RecordDir::open_handed(root.path()).unwrap();
        (root, directory)
    }

    #[test]
    fn a_file_ends_the_wait() {
        let (root, directory) = directory();
        let watch = Watch::new(root.path()).unwrap();
        let path = root.path().to_path_buf();
        let writer = std::thread::spawn(move || {
            let directory = RecordDir::open_handed(&path).unwrap();
            directory.mark("other").unwrap();
            directory.mark("go").unwrap();
        });
        let waited = watch
            .wait(&directory, &["abort", "go"], &[], unix_ms() + 60_000)
            .unwrap();
        assert_eq!(waited, Waited::File("go"));
        writer.join().unwrap();
    }

    #[test]
    fn the_deadline_ends_the_wait() {
        let (root, directory) = directory();
        let watch = Watch::new(root.path()).unwrap();
        assert_eq!(
            watch.wait(&directory, &["go"], &[], unix_ms() + 20).unwrap(),
            Waited::Deadline
        );
    }

    #[test]
    fn a_closed_descriptor_ends_the_wait() {
        let (root, directory) = directory();
        let watch = Watch::new(root.path()).unwrap();
        let (read, write) = nix::unistd::pipe().unwrap();
        drop(write);
        let waited = watch
            .wait(&directory, &["go"], &[read.as_fd()], unix_ms() + 60_000)
            .unwrap();
        assert_eq!(waited, Waited::Descriptor(0));
    }
}
