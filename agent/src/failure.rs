//! A migration that cannot go on, in the words of its status.

use std::error::Error;

pub use godwit_memory::causes::with_causes as chain;
use godwit_transfer::SessionError;

/// Why a migration ends on this side: which step, a stable reason, and a message for the user.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{step}: {message}")]
pub struct Failure {
    /// Step under way, by its stable name.
    pub step: String,
    /// `PascalCase` reason.
    pub reason: String,
    /// What happened and, where it is known, what to do about it.
    pub message: String,
}

impl Failure {
    /// A failure with a message of its own.
    pub fn new(step: impl ToString + Copy, reason: &str, message: impl Into<String>) -> Self {
        Self {
            step: step.to_string(),
            reason: reason.to_owned(),
            message: message.into(),
        }
    }

    /// A failure from an error: its text and those of its sources, one line. Where the error is that the peer gave up, the failure is
    /// the peer's own, with its step: that is what the user has to know.
    pub fn from_error(step: impl ToString + Copy, reason: &str, error: &(dyn Error + 'static)) -> Self {
        if let Some(SessionError::PeerAborted {
            step,
            reason,
            message,
        }) = find(error)
        {
            return Self {
                step: step.clone(),
                reason: reason.clone(),
                message: message.clone(),
            };
        }
        Self::new(step, reason, chain(error))
    }
}

/// The session's error among an error and its sources.
fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a SessionError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(session) = error.downcast_ref() {
            return Some(session);
        }
        next = error.source();
    }
    None
}

/// Gives any error of a module its step; the module's own stable reason is kept.
pub trait AtStep<T> {
    /// Turns the error into a [`Failure`] of that step.
    fn at(self, step: impl ToString + Copy) -> Result<T, Failure>;
}

/// An error with a stable reason, as every module of Godwit has it.
pub trait Reasoned: Error + 'static {
    /// Stable `PascalCase` reason.
    fn stable_reason(&self) -> &'static str;
}

impl<T, E: Reasoned> AtStep<T> for Result<T, E> {
    fn at(self, step: impl ToString + Copy) -> Result<T, Failure> {
        self.map_err(|error| Failure::from_error(step, error.stable_reason(), &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn sources_are_told_once() {
        let error = Outer(std::io::Error::other("inner"));
        assert_eq!(chain(&error), "outer: inner");
        assert_eq!(
            Failure::from_error("Dump", "Reason", &error).to_string(),
            "Dump: outer: inner"
        );
    }

    #[test]
    fn the_peers_own_words_are_reported_wherever_they_were_heard() {
        let said = SessionError::PeerAborted {
            step: "PrepareAddress".to_owned(),
            reason: "NoSpace".to_owned(),
            message: "full".to_owned(),
        };
        let error = crate::peer::PeerError::Session {
            node: "n2".to_owned(),
            source: said,
        };
        let failure = Failure::from_error("CopyFiles", "PeerAborted", &error);
        assert_eq!(failure, Failure::new("PrepareAddress", "NoSpace", "full"));
    }
}
