//! Waiting for one message of the peer.

use godwit_transfer::{Event, Message};

use crate::{
    failure::{AtStep, Failure},
    peer::Receiver,
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

/// The next message that is the one wanted; others but failures are passed over.
pub async fn expect(
    receiver: &mut Receiver,
    step: impl ToString + Copy,
    mut wanted: impl FnMut(&Message) -> bool,
) -> Result<(), Failure> {
    let step = step.to_string();
    loop {
        if let Event::Message(message) = receiver.recv().await.at(&step)? {
            if let Some(failure) = peers_failure(&step, &message) {
                return Err(failure);
            }
            if wanted(&message) {
                return Ok(());
            }
        }
    }
}
