//! The process that gives a restored container its memory: started before the restore, needed until everything is filled, and independent of this agent.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use godwit_container::call::{CallError, RuntimeCall, reattach};
use godwit_memory::serve::{
    ServeError, UNPLACED, {self as files, Checked, Config, Done, Failed, Progress, Tuning},
};
use godwit_runtime::record::{RecordDir, RecordError};
use thiserror::Error;
use tokio::time::{Instant, sleep};

use crate::node::Node;

/// Where CRIU looks for it (`lazy-pages.socket` in its work directory, criu/uffd.c).
const SOCKET: &str = "lazy-pages.socket";
/// How long it may take to start.
const START: Duration = Duration::from_secs(10);
/// How often its files are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long after the restore is finished it may take to look whether every page has a place: milliseconds, unless the machine is very busy.
const CHECK: Duration = Duration::from_secs(10);
/// How often it is looked whether it has done so: the freeze lasts meanwhile.
const CHECK_EVERY: Duration = Duration::from_millis(1);
/// How often it is looked at whether a restore has become hopeless.
const WATCH_EVERY: Duration = Duration::from_millis(50);
/// The page server bounds its own waits, up to the moment from which it must not be ended any more: what it has not filled would be lost.
const NEVER: Duration = Duration::from_hours(10 * 365 * 24);

/// Why there is no page server.
#[derive(Debug, Error)]
pub(crate) enum PageServerError {
    /// Its process.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Its files.
    #[error(transparent)]
    Files(#[from] ServeError),
    /// Its directory.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It says so itself.
    #[error("the page server of container {container}: {}", failed.message)]
    Failed {
        /// The container.
        container: String,
        /// Its words.
        failed: Failed,
    },
    /// It has ended.
    #[error("the page server of container {0} has ended before the container has all its memory")]
    Gone(String),
    /// It does not say whether every page has a place.
    #[error("the page server of container {0} does not say whether all memory has its place")]
    Unchecked(String),
    /// It does not listen.
    #[error("the page server of container {0} does not listen")]
    Silent(String),
}

impl PageServerError {
    /// Stable reason.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Call(error) => error.reason(),
            Self::Files(error) => error.reason(),
            Self::Record(error) => error.reason(),
            Self::Failed { failed, .. } if failed.reason == UNPLACED => UNPLACED,
            Self::Failed { .. } => "PageServerFailed",
            Self::Silent(_) | Self::Unchecked(_) => "PageServerSilent",
            Self::Gone(_) => "PageServerGone",
        }
    }
}

/// The page server of one container.
#[derive(Debug)]
pub(super) struct PageServer {
    container: String,
    directory: PathBuf,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// So many bytes are left.
    Left(u64),
    /// Everything is where it belongs.
    All,
    /// It has ended before that.
    Lost(u64),
}

impl PageServer {
    /// That of the container whose images are in `images`, as the agent sees them, whether it was started or not.
    pub(super) fn of(container: &str, images: &Path) -> Self {
        Self {
            container: container.to_owned(),
            directory: beside(images, "server"),
        }
    }

    /// Starts it, and waits until CRIU may connect. `images` and `on_node` are the same directory as the agent and as programs on the node see it.
    pub(super) async fn start(
        &self,
        node: &Node,
        images: &Path,
        on_node: &Path,
        deadline_ms: u64,
    ) -> Result<(), PageServerError> {
        RecordDir::create(&node.layout, &self.directory)?;
        let config = Config {
            images: on_node.to_owned(),
            store: store_dir(on_node),
            socket: beside(on_node, "work").join(SOCKET),
            deadline_ms,
            tuning: Tuning::default(),
        };
        files::write(&self.directory, files::CONFIG, &config)?;
        let argv = [
            node.layout_on_node.pages_binary(),
            "serve".into(),
            beside(on_node, "server"),
        ];
        let argv = argv.map(|part| part.to_string_lossy().into_owned());
        let mut call = RuntimeCall::new(argv.to_vec(), NEVER);
        call.host = node.host.clone();
        let running = call.start(&self.call_dir(), &node.launcher).await?;
        let socket = beside(images, "work").join(SOCKET);
        let until = Instant::now() + START;
        while !socket.exists() {
            self.check()?;
            if Instant::now() >= until || running.outcome()?.is_some() {
                return Err(PageServerError::Silent(self.container.clone()));
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    fn call_dir(&self) -> PathBuf {
        self.directory.join("call")
    }

    fn check(&self) -> Result<(), PageServerError> {
        match files::read(&self.directory, files::FAILED)? {
            Some(failed) => Err(PageServerError::Failed {
                container: self.container.clone(),
                failed,
            }),
            None => Ok(()),
        }
    }

    /// Fails unless it lives, and can give every page to what was restored: CRIU does not notice a page server that is gone, nor do processes
    /// that are held. What has no place now would be lost after the commit.
    pub(super) async fn serves(&self) -> Result<(), PageServerError> {
        self.placed().await?;
        self.check()?;
        match self.filled()? {
            Some(Filled::All | Filled::Left(_)) => Ok(()),
            Some(Filled::Lost(_)) | None => Err(PageServerError::Gone(self.container.clone())),
        }
    }

    /// Waits until it has looked whether every page has a place.
    async fn placed(&self) -> Result<(), PageServerError> {
        let until = Instant::now() + CHECK;
        loop {
            self.check()?;
            if let Some(checked) = files::read::<Checked>(&self.directory, files::CHECKED)? {
                let Checked {
                    mappings,
                    mended,
                    took_us,
                } = checked;
                let container = &self.container;
                tracing::info!(container, mappings, mended, took_us, "all memory has its place");
                return Ok(());
            }
            if matches!(self.filled()?, Some(Filled::Lost(_)) | None) {
                return Err(PageServerError::Gone(self.container.clone()));
            }
            if Instant::now() >= until {
                return Err(PageServerError::Unchecked(self.container.clone()));
            }
            sleep(CHECK_EVERY).await;
        }
    }

    /// Returns when the restore has become hopeless.
    pub(super) async fn failure(&self) -> PageServerError {
        loop {
            if let Err(error) = self.check() {
                return error;
            }
            sleep(WATCH_EVERY).await;
        }
    }

    /// How far it is; `None` if there is no page server.
    pub(super) fn filled(&self) -> Result<Option<Filled>, PageServerError> {
        if !self.directory.exists() {
            return Ok(None);
        }
        if let Some(done) = files::read::<Done>(&self.directory, files::DONE)? {
            if done.progress.unplaced > 0 {
                // Not seen when all memory was looked at, before the commit.
                tracing::error!(
                    container = self.container,
                    pages = done.progress.unplaced,
                    "pages had no place in the restored processes"
                );
            }
            return Ok(Some(Filled::All));
        }
        let progress: Option<Progress> = files::read(&self.directory, files::PROGRESS)?;
        let left = progress.map_or(0, |progress| progress.bytes_left);
        let ended = match reattach(&self.call_dir())? {
            Some(call) => call.outcome()?.is_some(),
            None => true,
        };
        // It may have said so after the first look, and ended before the last one.
        let all = files::read::<Done>(&self.directory, files::DONE)?.is_some();
        Ok(Some(match (all, ended) {
            (true, _) => Filled::All,
            (false, true) => Filled::Lost(left),
            (false, false) => Filled::Left(left),
        }))
    }

    /// Ends it: what it serves must not run any more. One that was just being started when the attempt was given up is waited for.
    pub(super) async fn end(&self) {
        let until = Instant::now() + START;
        loop {
            let over = match reattach(&self.call_dir()) {
                Ok(Some(call)) => {
                    call.end().await;
                    call.outcome().map(|outcome| outcome.is_some())
                }
                Ok(None) => Ok(true),
                Err(error) => Err(error),
            };
            match over {
                Ok(true) => return,
                Ok(false) if Instant::now() < until => sleep(LOOK_EVERY).await,
                other => {
                    tracing::warn!(
                        container = self.container,
                        error = other.err().map(|error| crate::failure::chain(&error)),
                        "the page server ends by its deadline only"
                    );
                    return;
                }
            }
        }
    }
}

/// Where the pages of the container are kept whose images are in `images`.
pub(super) fn store_dir(images: &Path) -> PathBuf {
    beside(images, "pages")
}

/// A directory beside that of the images; no container has a name with a dot.
fn beside(images: &Path, what: &str) -> PathBuf {
    let mut name = images.as_os_str().to_owned();
    name.push(".");
    name.push(what);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(images: &Path) -> PageServer {
        let server = PageServer::of("web", images);
        std::fs::create_dir(&server.directory).unwrap();
        server
    }

    fn done(server: &PageServer) {
        let done = Done {
            progress: Progress::default(),
            elapsed_ms: 1,
        };
        files::write(&server.directory, files::DONE, &done).unwrap();
    }

    #[tokio::test]
    async fn memory_without_a_place_is_refused_by_its_own_reason() {
        let root = tempfile::tempdir().unwrap();
        let server = server(&root.path().join("images"));
        done(&server);
        let failed = Failed {
            reason: UNPLACED.to_owned(),
            message: "memory would be lost".to_owned(),
        };
        files::write(&server.directory, files::FAILED, &failed).unwrap();
        let error = server.serves().await.unwrap_err();
        assert_eq!(error.reason(), "PagesUnplaced");
        assert!(error.to_string().contains("memory would be lost"));
    }

    #[tokio::test]
    async fn nothing_is_served_before_every_page_has_its_place() {
        let root = tempfile::tempdir().unwrap();
        let server = server(&root.path().join("images"));
        // As good as one that has ended: no call was ever started here.
        assert_eq!(server.serves().await.unwrap_err().reason(), "PageServerGone");
        done(&server);
        let serving = tokio::time::timeout(Duration::from_millis(50), server.serves());
        assert!(serving.await.is_err(), "it was waited for");
        let checked = Checked {
            mappings: 2,
            mended: 1,
            took_us: 3,
        };
        files::write(&server.directory, files::CHECKED, &checked).unwrap();
        server.serves().await.unwrap();
    }
}
