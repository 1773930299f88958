//! Waiting for one message of the peer.

use godwit_transfer::{Event, Message, SessionError};

use crate::{
    failure::Failure,
    peer::{PeerError, Receiver},
};

/// What the peer's own failure means for this side; `None` for any other message.
pub fn peers_failure(step: impl ToString + Copy, message: &Message) -> Option<Failure> {
    match message {
        Message::Abort(abort) => Some(Failure {
            step: abort.step.clone(),
            reason: abort.reason.clone(),
            message: abort.message.clone(),
        }),
        Message::RestoreFailed(failed) => Some(Failure {
            step: "Restore".to_owned(),
            reason: failed.reason.clone(),
            message: failed.message.clone(),
        }),
        Message::Refuse(refuse) => Some(Failure::new(step, &refuse.reason, &refuse.message)),
        _ => None,
    }
}

/// An error of the connection as a failure; where the session ended because the peer gave up, in the peer's own words.
pub fn lost(step: impl ToString + Copy, error: &PeerError) -> Failure {
    if let PeerError::Session {
        source:
            SessionError::PeerAborted {
                step,
                reason,
                message,
            },
        ..
    } = error
    {
        return Failure {
            step: step.clone(),
            reason: reason.clone(),
            message: message.clone(),
        };
    }
    Failure::from_error(step, error.reason(), error)
}

/// The next message that is the one wanted; others but failures are passed over.
pub async fn expect(
    receiver: &mut Receiver,
    step: impl ToString + Copy,
    wanted: impl Fn(&Message) -> bool,
) -> Result<(), Failure> {
    let step = step.to_string();
    loop {
        if let Event::Message(message) = receiver.recv().await.map_err(|error| lost(&step, &error))? {
            if let Some(failure) = peers_failure(&step, &message) {
                return Err(failure);
            }
            if wanted(&message) {
                return Ok(());
            }
        }
    }
}
