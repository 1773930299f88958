//! Files of the node that processes of the pod have mapped or open, and that neither its image nor a volume brings along (`godwit-preflight`): the
//! destination must have the same. The source's agent asks the destination's, in preflight if the destination is named by then, and always before
//! the manifest is sent; and it decides, for it knows what the processes need of them.
//!
//! | file | its one idea |
//! |---|---|
//! | `used` | which files those are, read with what is known of them already |
//! | `questions` | many files as few questions, and their answers put together again |
//! | `ask` | the conversation, on the source's side |
//! | `answer` | the same on the destination's, and who may ask |
//! | `judge` | what of it refuses the move, and what is accepted |

mod answer;
mod ask;
mod judge;
mod questions;
mod used;

use std::sync::Arc;
use std::time::Duration;

use godwit_preflight::files::Cache;
use thiserror::Error;
use tokio::sync::Mutex;

use crate::peer::PeerError;

pub(crate) use self::answer::{answer, entitled};
pub(crate) use self::ask::{Destination, compared};
pub(crate) use self::judge::{Judgement, judge};
pub(crate) use self::used::used;

/// What this agent has read of its node's files: one for all looks, so that each file is read once while it does not change.
#[derive(Debug, Default, Clone)]
pub struct HostFileCache(Arc<Mutex<Cache>>);

/// Why files of the node could not be compared.
#[derive(Debug, Error)]
pub(crate) enum HostFilesError {
    /// Hashing takes too long, or a file system does not answer.
    #[error(
        "the files of node {node} that the pod uses have not been read within {} s; what was read is remembered: try again",
        .limit.as_secs()
    )]
    Slow {
        /// The node.
        node: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The thread that reads them ended.
    #[error("the files of the node could not be read to the end")]
    Thread,
    /// The destination's agent.
    #[error("the agent of the destination cannot be asked about files of its node")]
    Peer(#[source] PeerError),
    /// It has not answered.
    #[error("the agent of node {node} has not said within {} s which files it has", .limit.as_secs())]
    Silent {
        /// The node.
        node: String,
        /// How long was waited.
        limit: Duration,
    },
    /// Its answer does not fit the question.
    #[error("the agent of node {node} has answered something else than what was asked")]
    Answer {
        /// The node.
        node: String,
    },
    /// It will not answer.
    #[error("the agent of node {node} does not answer: {message}")]
    Refused {
        /// The node.
        node: String,
        /// What it says.
        message: String,
    },
}

impl HostFilesError {
    /// Stable reason.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Slow { .. } => "HostFilesSlow",
            Self::Thread => "Internal",
            Self::Peer(error) => error.reason(),
            Self::Silent { .. } => "PeerSilent",
            Self::Answer { .. } => "HostFilesAnswer",
            Self::Refused { .. } => "PeerRefused",
        }
    }
}
