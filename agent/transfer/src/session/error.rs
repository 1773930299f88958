//! What can be wrong with a conversation.

use thiserror::Error;

use super::Party;
use crate::incoming::ReceiveError;
use crate::outgoing::SendError;
use crate::validate::MessageError;

/// A message or object that does not belong where it is.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SessionError {
    /// A message is out of bounds.
    #[error("a message is not valid")]
    Message(#[source] MessageError),
    /// A message at the wrong time or from the wrong side.
    #[error("{message} from the {from:?} is not legal here: {why}")]
    OutOfOrder {
        /// Name of the message.
        message: &'static str,
        /// Who sent it, or tried to.
        from: Party,
        /// The rule.
        why: &'static str,
    },
    /// Messages of objects are made by the functions for objects.
    #[error("{message} cannot be sent by hand")]
    ByHand {
        /// Name of the message.
        message: &'static str,
    },
    /// The peer has aborted: the reason is its own.
    #[error("the peer aborted the migration in step {step} ({reason}): {message}")]
    PeerAborted {
        /// The step in which the peer was.
        step: String,
        /// The peer's reason.
        reason: String,
        /// What the peer says.
        message: String,
    },
    /// This side has aborted; nothing more can be sent.
    #[error("the migration is being aborted by this side")]
    Aborting,
    /// This side failed to send an object.
    #[error("an object cannot be sent so")]
    Sending(#[source] SendError),
    /// The peer failed to send an object.
    #[error("an object came in wrong")]
    Receiving(#[source] ReceiveError),
    /// An earlier error has ended the session.
    #[error("the session ended with an earlier error ({0})")]
    Failed(&'static str),
}

impl SessionError {
    /// Stable name.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Message(error) => error.reason(),
            Self::OutOfOrder { .. } => "OutOfOrder",
            Self::ByHand { .. } => "ObjectMessageByHand",
            Self::PeerAborted { .. } => "PeerAborted",
            Self::Aborting => "Aborting",
            Self::Sending(error) => error.reason(),
            Self::Receiving(error) => error.reason(),
            Self::Failed(_) => "SessionFailed",
        }
    }
}
