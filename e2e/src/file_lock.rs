//! A lock on a file: two runs of `e2e` never make the same thing at the same time.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};

/// Held until dropped; the kernel drops it too when the process ends in whatever way.
#[derive(Debug)]
pub struct FileLock {
    _lock: Flock<File>,
}

impl FileLock {
    /// Take the lock on `path` (created if need be), waiting for at most `patience`.
    /// Fails if somebody else holds it for longer.
    pub fn acquire(path: &Path, patience: Duration) -> Result<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        }
        let started = Instant::now();
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .with_context(|| format!("open {}", path.display()))?;
        let mut said = false;
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(Self { _lock: lock }),
                Err((back, nix::errno::Errno::EWOULDBLOCK)) => file = back,
                Err((_, errno)) => return Err(errno).with_context(|| format!("lock {}", path.display())),
            }
            if started.elapsed() > patience {
                bail!(
                    "another run of e2e holds {} for longer than {patience:?}",
                    path.display()
                );
            }
            if !said {
                eprintln!("waiting for another run of e2e ({})", path.display());
                said = true;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
