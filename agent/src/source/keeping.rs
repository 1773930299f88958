//! The connection to the target while memory is copied: if it breaks, another one takes its place.
//!
//! Memory travels on lanes of its own, so nothing is under way on this one, and both sides know the state of its session: the manifest is
//! agreed, everything that was begun has ended. The new connection begins with the same manifest, and the number of objects that ended on
//! the old one; the target refuses it if it has not got all of them. Before and after this step a broken connection is the end of the
//! attempt.

use std::time::Duration;

use godwit_transfer::{Event, Hello, Manifest, Message};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{connect::DIAL_AGAIN, memory::Dial};
use crate::{
    failure::{Failure, chain},
    peer::{self, PeerError, Receiver, Sender, refusal::MIGRATION_OVER},
    step::SourceStep,
    talk::peers_failure,
};

/// How long the target's agent is tried to be reached again.
const RESUME_WITHIN: Duration = Duration::from_secs(20);

/// A connection that is kept.
pub(super) struct Keeping<'a> {
    link: &'a mut (Sender, Receiver),
    dial: Dial,
    manifest: &'a Manifest,
    deadline: Instant,
    within: Duration,
    /// How many objects have ended on the first connection; none is begun on those after it.
    ended: u32,
}

/// Why a try was of no use.
enum Vain {
    /// Another one may be.
    Again(PeerError),
    /// The target will not have it.
    Never(String),
}

impl From<PeerError> for Vain {
    fn from(error: PeerError) -> Self {
        let over = matches!(&error, PeerError::Refused { reason, .. } if reason == MIGRATION_OVER);
        if error.is_transient() && !over {
            Self::Again(error)
        } else {
            Self::Never(chain(&error))
        }
    }
}

impl<'a> Keeping<'a> {
    /// Keeps `link`, on which nothing is open and `manifest` was agreed, until `deadline` at most.
    pub(super) fn new(
        link: &'a mut (Sender, Receiver),
        dial: Dial,
        manifest: &'a Manifest,
        deadline: Instant,
    ) -> Self {
        let ended = link.0.last_object();
        Self {
            link,
            dial,
            manifest,
            deadline,
            within: RESUME_WITHIN,
            ended,
        }
    }

    /// Until the target gives up, or the connection cannot be had again. `tell` is told whether there is one.
    pub(super) async fn run(self, tell: &watch::Sender<bool>) -> Failure {
        let step = SourceStep::CopyMemory;
        loop {
            let broken = match self.link.1.recv().await {
                Ok(Event::Message(message)) => match peers_failure(step, &message) {
                    Some(failure) => return failure,
                    None => continue,
                },
                Ok(_) => continue,
                Err(error) => error,
            };
            if !broken.is_transient() {
                return Failure::from_error(step, broken.reason(), &broken);
            }
            tell.send_replace(false);
            tracing::warn!(error = chain(&broken), "the target's agent is dialled again");
            match self.again().await {
                Ok(link) => *self.link = link,
                Err(why) => {
                    let message = format!("{}, and was not resumed: {why}", chain(&broken));
                    return Failure::new(step, broken.reason(), message);
                }
            }
            tracing::info!("the target's agent is connected anew");
            tell.send_replace(true);
        }
    }

    /// Another connection in the same state; or why there is none.
    async fn again(&self) -> Result<(Sender, Receiver), String> {
        let until = self.deadline.min(Instant::now() + self.within);
        loop {
            match self.try_once().await {
                Ok(link) => return Ok(link),
                Err(Vain::Again(error)) if Instant::now() + DIAL_AGAIN < until => {
                    tracing::info!(error = chain(&error), "the target's agent cannot be reached yet");
                    sleep(DIAL_AGAIN).await;
                }
                Err(Vain::Again(error)) => return Err(chain(&error)),
                Err(Vain::Never(why)) => return Err(why),
            }
        }
    }

    async fn try_once(&self) -> Result<(Sender, Receiver), Vain> {
        let Dial {
            timing,
            address,
            target,
            identity,
            own,
            migration,
            ..
        } = &self.dial;
        let hello = Hello::resuming(migration, own, self.ended);
        let (sender, mut receiver) = peer::greet_within(*timing, *address, target, identity, hello).await?;
        sender.send(Message::Manifest(self.manifest.clone())).await?;
        loop {
            match receiver
                .recv_within(timing.handshake, "the answer to the manifest")
                .await?
            {
                Event::Message(Message::ManifestOk(_)) => return Ok((sender, receiver)),
                Event::Message(message) => {
                    if let Some(failure) = peers_failure(SourceStep::CopyMemory, &message) {
                        return Err(Vain::Never(format!("{} ({})", failure.message, failure.reason)));
                    }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
