//! Running a program of the node (runc, and CRIU below it) in the host's namespaces, so that neither the end of the agent nor that of
//! its pod ends the program half-way, and so that the program ends by its deadline all the same.
//!
//! The agent starts itself once more as a *supervisor* ([`supervise()`]), which leaves the agent's cgroup and namespaces, runs the program,
//! waits, and writes `result.json`. All they know of each other is in one directory:
//!
//! | file | written by | content |
//! |---|---|---|
//! | `call.json` | agent | the [`RuntimeCall`] |
//! | `supervisor.json` | supervisor | who it is |
//! | `stdout`, `stderr` | the program | its output |
//! | `supervisor.log` | supervisor | its own trouble, normally empty |
//! | `result.json` | supervisor | the [`Outcome`] |

mod ending;
mod files;
mod running;
pub mod supervise;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use godwit_proc::bounded;
use serde::{Deserialize, Serialize};

pub use self::running::{RunningCall, reattach};
pub use self::supervise::supervise;
use crate::cgroup::{CgroupError, Freezer, Parent};
use crate::host::Host;

/// The name of the group that runtime calls run in.
pub const GROUP: &str = "godwit";

/// What of a program's output is worth a look.
const OUTPUT_LIMIT: usize = 64 << 10;

/// Why a call could not be made, or its outcome not be told.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// A file of the call's directory could not be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// `read`, `write`, `make` or `watch`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// A file of the call's directory does not hold what it should.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        source: serde_json::Error,
    },
    /// The call is not one that can be run.
    #[error("cannot run {argv:?}: the program must be an absolute path")]
    NotAbsolute {
        /// The arguments.
        argv: Vec<String>,
    },
    /// Another call was made in this directory.
    #[error("{directory} has a call already: use a directory of its own for each")]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// The supervisor could not be started.
    #[error("cannot start the supervisor of the call in {directory}")]
    Spawn {
        /// The directory.
        directory: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// The supervisor ended before it had begun.
    #[error("the supervisor of the call in {directory} ended before it had begun: {log}")]
    NotStarted {
        /// The directory.
        directory: PathBuf,
        /// The end of its log.
        log: String,
    },
    /// The supervisor was killed; the program it had started was ended.
    #[error(
        "the supervisor of the call in {directory} was killed; its program was ended{}",
        if *.frozen { ", its container is frozen" } else { "" }
    )]
    Lost {
        /// The directory.
        directory: PathBuf,
        /// Whether the container was frozen before.
        frozen: bool,
    },
    /// The supervisor could do nothing for the program.
    #[error("the call in {directory} could not be run: {message}")]
    Failed {
        /// The directory.
        directory: PathBuf,
        /// What the supervisor says.
        message: String,
    },
    /// The supervisor's preparations failed.
    #[error("cannot prepare the call in {directory}: {what}")]
    Prepare {
        /// The directory.
        directory: PathBuf,
        /// Which of them.
        what: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// The group for runtime calls could not be entered.
    #[error("cannot enter the group for runtime calls")]
    Group {
        /// Why.
        source: CgroupError,
    },
}

impl CallError {
    /// A stable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::File { .. } | Self::Damaged { .. } => "CallFilesUnusable",
            Self::NotAbsolute { .. } | Self::InUse { .. } => "CallInvalid",
            Self::Spawn { .. } | Self::NotStarted { .. } | Self::Failed { .. } | Self::Prepare { .. } => {
                "CallNotStarted"
            }
            Self::Lost { .. } => "SupervisorLost",
            Self::Group { source } => source.reason(),
        }
    }

    fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}

/// A program to run on the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeCall {
    /// Program (absolute, in the host's view) and arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// How long the program may take, from its start.
    #[serde(with = "milliseconds")]
    pub deadline: Duration,
    /// The container that must be frozen before the program may be killed: a CRIU that is killed in its work lets go of the container's
    /// processes. None for programs that touch no container.
    pub freeze_first: Option<Freezer>,
    /// Whose namespaces to run in.
    pub host: Host,
    /// Below what the group for runtime calls is.
    pub group: Parent,
}

impl RuntimeCall {
    /// A call on the node that the agent runs on, with an empty environment.
    pub fn new(argv: Vec<String>, deadline: Duration) -> Self {
        Self {
            argv,
            env: BTreeMap::new(),
            deadline,
            freeze_first: None,
            host: Host::default(),
            group: Parent::Root,
        }
    }
}

/// How to start a supervisor.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// The program: one that calls [`supervise()`] before it has started any thread.
    pub program: PathBuf,
    /// Its arguments; the call's directory is appended.
    pub args: Vec<String>,
}

impl Default for Launcher {
    /// The agent itself: `/proc/self/exe call --dir DIRECTORY`.
    fn default() -> Self {
        Self {
            program: "/proc/self/exe".into(),
            args: vec!["call".into(), "--dir".into()],
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The program's exit status, if it ended by itself.
    pub exit: Option<i32>,
    /// The signal that ended it otherwise.
    pub signal: Option<i32>,
    /// Whether the deadline came and the program was killed.
    pub timed_out: bool,
    /// Whether the container was seen FROZEN when the program had been killed; none if it was not killed or there is no container.
    pub frozen: Option<bool>,
    /// What kept the supervisor from running the program.
    pub error: Option<String>,
    /// When the program began, microseconds since 1970.
    pub started_unix_us: u64,
    /// When it had ended, microseconds since 1970.
    pub ended_unix_us: u64,
}

impl Outcome {
    /// Whether the program ended by itself with status 0.
    pub fn success(&self) -> bool {
        self.exit == Some(0) && !self.timed_out
    }
}

/// The end of what the program of the call in `directory` wrote to standard error; empty if nothing can be read.
pub fn stderr_tail(directory: &Path) -> String {
    bounded::read_tail(&directory.join(files::STDERR), OUTPUT_LIMIT).unwrap_or_default()
}

/// The end of what the program of the call in `directory` wrote to standard output; empty if nothing can be read.
pub fn stdout_tail(directory: &Path) -> String {
    bounded::read_tail(&directory.join(files::STDOUT), OUTPUT_LIMIT).unwrap_or_default()
}

mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        u64::try_from(duration.as_millis())
            .unwrap_or(u64::MAX)
            .serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Version;

    #[test]
    fn a_call_survives_being_written_and_read() {
        let mut call = RuntimeCall::new(vec!["/bin/true".into()], Duration::from_millis(1500));
        call.freeze_first = Some(Freezer::at(Version::V1, Path::new("/x")));
        let text = serde_json::to_string(&call).unwrap();
        assert!(text.contains("1500"), "{text}");
        assert_eq!(serde_json::from_str::<RuntimeCall>(&text).unwrap(), call);
    }

    #[test]
    fn only_a_program_that_ended_by_itself_in_time_succeeded() {
        let ok = Outcome {
            exit: Some(0),
            ..Outcome::default()
        };
        assert!(ok.success());
        assert!(
            !Outcome {
                timed_out: true,
                ..ok.clone()
            }
            .success()
        );
        assert!(
            !Outcome {
                exit: Some(1),
                ..ok.clone()
            }
            .success()
        );
        assert!(
            !Outcome {
                exit: None,
                signal: Some(9),
                ..ok
            }
            .success()
        );
    }
}
