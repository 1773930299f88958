//! The agent's side of a call.

use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use godwit_proc::bounded;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;
use tokio::process::Child;

use super::files::{self, Supervisor};
use super::{CallError, Launcher, Outcome, RuntimeCall, ending};

/// How often the supervisor's life is checked; its normal end is told by the file's appearance.
const LIFE_CHECK: Duration = Duration::from_millis(250);
const LOG_LIMIT: usize = 4 << 10;

/// A call under way, or one that has ended.
#[derive(Debug)]
pub struct RunningCall {
    directory: PathBuf,
    call: RuntimeCall,
    supervisor: Option<Supervisor>,
}

impl RuntimeCall {
    /// Starts the call in `directory`, which is made if it is missing (0700) and must hold no other call, and returns once the supervisor has left
    /// the agent's cgroup and namespaces. `directory` is an absolute path that means the same in the agent and on the host:
    /// one below [`crate::host::Host::root`].
    pub async fn start(&self, directory: &Path, launcher: &Launcher) -> Result<RunningCall, CallError> {
        if !self.argv.first().is_some_and(|program| program.starts_with('/')) {
            return Err(CallError::NotAbsolute {
                argv: self.argv.clone(),
            });
        }
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory);
        made.map_err(CallError::file("make", directory))?;
        if directory.join(files::CALL).exists() {
            return Err(CallError::InUse {
                directory: directory.to_owned(),
            });
        }
        let watch = Watch::new(directory)?;
        files::write(directory, files::CALL, self)?;
        let log = directory.join(files::LOG);
        let stderr = files::create(&log).map_err(CallError::file("write", log))?;
        let spawned = tokio::process::Command::new(&launcher.program)
            .args(&launcher.args)
            .arg(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .kill_on_drop(false)
            .spawn();
        let mut child = spawned.map_err(|source| CallError::Spawn {
            directory: directory.to_owned(),
            source,
        })?;
        let supervisor = begun(directory, &watch, &mut child).await?;
        // tokio takes the supervisor's exit status when it comes.
        Ok(RunningCall {
            directory: directory.to_owned(),
            call: self.clone(),
            supervisor,
        })
    }
}

async fn begun(directory: &Path, watch: &Watch, child: &mut Child) -> Result<Option<Supervisor>, CallError> {
    loop {
        if let Some(supervisor) = files::read_if_there(directory, files::SUPERVISOR)? {
            return Ok(Some(supervisor));
        }
        let ended = tokio::select! {
            _ = child.wait() => true,
            () = watch.changed() => false,
        };
        if ended {
            let supervisor = files::read_if_there(directory, files::SUPERVISOR)?;
            if supervisor.is_some() || directory.join(files::RESULT).exists() {
                return Ok(supervisor);
            }
            let log = bounded::read_tail(&directory.join(files::LOG), LOG_LIMIT).unwrap_or_default();
            return Err(CallError::NotStarted {
                directory: directory.to_owned(),
                log,
            });
        }
    }
}

/// Takes up a call that an earlier agent started in `directory`; none if there is none.
pub fn reattach(directory: &Path) -> Result<Option<RunningCall>, CallError> {
    let Some(call) = files::read_if_there(directory, files::CALL)? else {
        return Ok(None);
    };
    let supervisor = files::read_if_there(directory, files::SUPERVISOR)?;
    Ok(Some(RunningCall {
        directory: directory.to_owned(),
        call,
        supervisor,
    }))
}

impl RunningCall {
    /// The call's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The outcome, if the call has ended.
    pub fn outcome(&self) -> Result<Option<Outcome>, CallError> {
        files::read_if_there(&self.directory, files::RESULT)
    }

    /// Waits for the end of the call, which comes by its deadline and a little time for ending it. If the supervisor itself was killed, what
    /// it had started is ended in the safe order and [`CallError::Lost`] is returned.
    pub async fn wait(&self) -> Result<Outcome, CallError> {
        let watch = Watch::new(&self.directory)?;
        loop {
            // Before the result is looked for, so that a supervisor that writes it and ends in between is not taken for lost.
            let alive = self.supervisor_is_alive();
            if let Some(outcome) = self.outcome()? {
                return match outcome.error {
                    Some(message) => Err(CallError::Failed {
                        directory: self.directory.clone(),
                        message,
                    }),
                    None => Ok(outcome),
                };
            }
            if !alive {
                return Err(self.end_lost().await);
            }
            watch.changed().await;
        }
    }

    /// Ends the call now, with all that it has started, in the safe order; its outcome says so soon after. For a call whose container must not go on, or that
    /// has none.
    pub async fn end(&self) {
        if let Some(supervisor) = self.supervisor()
            && supervisor.process.is_alive(&self.call.host.proc)
        {
            self.end_tree(supervisor).await;
        }
    }

    /// The supervisor, if it has begun. Its file may have come after a reattach.
    fn supervisor(&self) -> Option<Supervisor> {
        self.supervisor.or_else(|| {
            files::read_if_there(&self.directory, files::SUPERVISOR)
                .ok()
                .flatten()
        })
    }

    fn supervisor_is_alive(&self) -> bool {
        self.supervisor()
            .is_some_and(|supervisor| supervisor.process.is_alive(&self.call.host.proc))
    }

    /// Ends what was started by a supervisor that was killed.
    async fn end_lost(&self) -> CallError {
        let directory = self.directory.clone();
        let Some(supervisor) = self.supervisor() else {
            // Killed before it had begun: the program was never started.
            return CallError::NotStarted {
                directory,
                log: "killed".into(),
            };
        };
        let frozen = self.end_tree(supervisor).await == Some(true);
        CallError::Lost { directory, frozen }
    }

    /// Ends a supervisor and all that it has started. Gives whether the container was frozen before, if there is one.
    async fn end_tree(&self, supervisor: Supervisor) -> Option<bool> {
        let call = self.call.clone();
        let ended = tokio::task::spawn_blocking(move || {
            ending::end_tree(
                &call.host,
                supervisor.process.pid,
                call.freeze_first.as_ref(),
                || {},
            )
        });
        // The thread does not panic.
        ended.await.ok().flatten()
    }
}

/// Waiting for a file to appear in a directory.
#[derive(Debug)]
struct Watch {
    inotify: AsyncFd<OwnedFd>,
}

impl Watch {
    fn new(directory: &Path) -> Result<Self, CallError> {
        let watch = || {
            let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
            inotify.add_watch(directory, AddWatchFlags::IN_MOVED_TO)?;
            // SAFETY: an `OwnedFd` names the same open descriptor for as long as it lives, and the `AsyncFd` keeps it.
            unsafe { AsyncFd::register(OwnedFd::from(inotify)) }.map_err(std::io::Error::from)
        };
        Ok(Self {
            inotify: watch().map_err(CallError::file("watch", directory))?,
        })
    }

    /// Returns when something appeared, or after [`LIFE_CHECK`].
    async fn changed(&self) {
        if let Ok(Ok(mut ready)) = tokio::time::timeout(LIFE_CHECK, self.inotify.readable()).await {
            // What it was is not asked: the directory is looked at anew.
            let mut events = [0; 4096];
            while nix::unistd::read(self.inotify.get_ref(), &mut events).is_ok_and(|read| read > 0) {}
            ready.clear_ready();
        }
    }
}
