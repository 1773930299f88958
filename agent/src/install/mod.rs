//! Setting a node up for Godwit, and taking everything out of it again.
//!
//! What is added: one directory (`/var/lib/godwit`), one in memory (`/run/godwit`), one control group for runtime calls, one runtime
//! entry in containerd's configuration. Each step can be cut off at any point and done again; the second time changes nothing.

mod containerd;
mod error;
mod files;
pub(crate) mod host_command;
mod host_node;
mod node;
mod paths;
mod payload;
mod record;
mod runtime_entry;
#[cfg(test)]
mod tests;
mod uninstall;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

pub use containerd::ConfigError;
pub use error::InstallError;
pub use host_node::HostNode;
pub use node::{EngineKind, EngineProcess, NodeError, NodeOps};
pub use payload::GHOST_LIMIT;
pub use uninstall::{local_users, uninstall};

use self::paths::under;
use self::record::InstallRecord;

/// Longest wait for containerd to be back after a restart.
const RESTART_LIMIT: Duration = Duration::from_mins(1);
/// Time between two looks at it.
const RESTART_POLL: Duration = Duration::from_millis(200);

/// What is installed where.
#[derive(Debug, Clone)]
pub struct Installation {
    /// Where the agent sees the host's root: `/proc/1/root`, or `/` on the host itself.
    pub root: PathBuf,
    /// What the agent's image brings along: `/opt/godwit`.
    pub payload: PathBuf,
    /// Longest wait for containerd to be back after a restart.
    pub restart_limit: Duration,
}

/// What an installation found to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Installed {
    /// Files of Godwit's own were new or different.
    pub files: bool,
    /// containerd was restarted.
    pub restarted: bool,
}

impl Installation {
    /// An installation with the ordinary limits.
    pub fn new(root: impl Into<PathBuf>, payload: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            payload: payload.into(),
            restart_limit: RESTART_LIMIT,
        }
    }

    fn state(&self) -> PathBuf {
        under(&self.root, paths::STATE)
    }

    /// Installs, or finds that nothing has to be done. containerd is restarted at most once, and only when it does not
    /// have the entry loaded.
    pub async fn install(&self, node: &impl NodeOps) -> Result<Installed, InstallError> {
        let engine = node.engine().await?;
        let plan = runtime_entry::decide(&self.root, &engine)?;
        let files = self.place_files()?;
        self.prepare_run(node).await?;

        let state = self.state();
        runtime_entry::write(node, &self.root, &state, &engine, &plan).await?;
        let record = InstallRecord::read(&state)?;
        if !record.restart_pending && has_handler(&node.handlers().await?) {
            return Ok(Installed {
                files,
                restarted: false,
            });
        }
        if runtime_entry::failed_before(&record) {
            return Err(InstallError::FailedBefore {
                path: engine.config,
                record: state.join(record::RECORD),
            });
        }
        info!(
            pid = engine.pid,
            "restarting containerd once, for the runtime entry; pods keep running"
        );
        node.restart(&engine).await?;
        if let Err(error) = self.await_engine(node, &engine, true).await {
            warn!("containerd did not take the runtime entry: taking it back");
            runtime_entry::take_back(&self.root, &state, &engine, &plan, true)?;
            if let Ok(engine) = node.engine().await {
                node.restart(&engine).await?;
            }
            return Err(error);
        }
        let mut record = InstallRecord::read(&state)?;
        record.restart_pending = false;
        record.write(&state)?;
        Ok(Installed {
            files,
            restarted: true,
        })
    }

    fn place_files(&self) -> Result<bool, InstallError> {
        let state = self.state();
        make_parents(&self.root, Path::new(paths::STATE))?;
        let mut changed = files::directory(&state, 0o700)?;
        for part in paths::STATE_PARTS {
            changed |= files::directory(&state.join(part), 0o700)?;
        }
        Ok(changed | payload::install(&self.payload, &state)?)
    }

    /// The directory in memory is made anew after each reboot.
    async fn prepare_run(&self, node: &impl NodeOps) -> Result<(), InstallError> {
        use error::FileContext;

        let run = under(&self.root, paths::RUN);
        make_parents(&self.root, Path::new(paths::RUN))?;
        files::directory(&run, 0o700)?;
        if !node.in_memory(&run).during("look at the file system of", &run)? {
            let mut record = InstallRecord::read(&self.state())?;
            record.mounted_run = true;
            record.write(&self.state())?;
            node.mount_tmpfs(Path::new(paths::RUN)).await?;
            files::directory(&run, 0o700)?;
        }
        for part in paths::RUN_PARTS {
            files::directory(&run.join(part), 0o700)?;
        }
        Ok(node.make_call_group()?)
    }

    /// Waits until another process than `old` answers and lists the handler, or no longer lists it.
    async fn await_engine(
        &self,
        node: &impl NodeOps,
        old: &EngineProcess,
        listed: bool,
    ) -> Result<(), InstallError> {
        let end = Instant::now() + self.restart_limit;
        while Instant::now() < end {
            if node.engine().await.is_ok_and(|engine| engine.pid != old.pid)
                && node
                    .handlers()
                    .await
                    .is_ok_and(|handlers| has_handler(&handlers) == listed)
            {
                return Ok(());
            }
            tokio::time::sleep(RESTART_POLL).await;
        }
        Err(InstallError::NotTaken {
            seconds: self.restart_limit.as_secs(),
        })
    }
}

fn has_handler(handlers: &[String]) -> bool {
    handlers
        .iter()
        .any(|handler| handler == godwit_crds::RUNTIME_CLASS)
}

/// Directories above a host path are the host's own; only where a bare host lacks them are they made, as usual ones.
fn make_parents(root: &Path, host_path: &Path) -> Result<(), InstallError> {
    use error::FileContext;

    let parent = under(root, host_path.parent().unwrap_or(Path::new("/")));
    std::fs::create_dir_all(&parent).during("create the directory", &parent)
}
