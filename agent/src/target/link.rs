//! The connection of the source, and another one in its place.
//!
//! Only as long as nothing but memory is under way, which travels on lanes of its own: the manifest is agreed, whatever was begun on the
//! connection has arrived, nothing is parked. Then both sides know all of its state, and a new connection on which the source says the
//! manifest again is in the same one. At any other time a lost connection is the end of the attempt.

use std::{sync::Arc, time::Duration};

use godwit_crds::{PodMigration, SourceState};
use godwit_transfer::{Agreed, Event, Manifest, Message, Refuse};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{inbox::Inbox, task::FAREWELL};
use crate::{
    failure::{AtStep, Failure, chain},
    peer::{PeerError, Receiver, Sender},
    step::TargetStep,
    talk::peers_failure,
};

/// How long the source is waited for, unless the migration ends before.
pub(super) const RESUME_WITHIN: Duration = Duration::from_secs(20);
/// How long it may take to say what it has to say.
const AGREE_WITHIN: Duration = Duration::from_secs(5);

/// A connection of the source's agent, greeted and welcomed.
pub struct Link {
    /// Where it is sent on.
    pub sender: Sender,
    /// Where it is received from.
    pub receiver: Receiver,
    /// Set if it takes the place of one that broke: how many objects had ended on that.
    pub resumes: Option<u32>,
}

/// Puts away what arrives, on as many connections as it takes.
pub(crate) struct Receiving<'a> {
    pub(crate) sender: &'a Sender,
    pub(crate) receiver: &'a mut Receiver,
    pub(crate) inbox: &'a mut Inbox,
    pub(crate) links: &'a mut mpsc::Receiver<Link>,
    pub(crate) updates: &'a mut watch::Receiver<Arc<PodMigration>>,
    pub(crate) manifest: &'a Manifest,
    /// How long the source is waited for.
    pub(crate) within: Duration,
}

impl Receiving<'_> {
    /// Until something fails.
    pub(crate) async fn run(mut self) -> Failure {
        let step = TargetStep::Receive;
        loop {
            let event = tokio::select! {
                biased;
                event = self.receiver.recv() => event,
                // The source may have noticed a break that has not been noticed here.
                Some(link) = self.links.recv() => {
                    self.take_over(link).await;
                    continue;
                }
            };
            let taken = match event {
                Ok(event) => self.inbox.take(event).await.at(step),
                Err(error) if error.is_transient() && self.inbox.may_be_resumed() => {
                    tracing::warn!(error = chain(&error), "the source is waited for");
                    if self.source_is_back().await {
                        continue;
                    }
                    return Failure::from_error(step, error.reason(), &error);
                }
                Err(error) => return Failure::from_error(step, error.reason(), &error),
            };
            match taken {
                Ok(Some(message)) => {
                    if let Some(failure) = peers_failure(step, &message) {
                        return failure;
                    }
                }
                Ok(None) => {}
                Err(failure) => return failure,
            }
        }
    }

    /// False if the source did not come in time, or has gone back meanwhile.
    async fn source_is_back(&mut self) -> bool {
        let until = Instant::now() + self.within;
        loop {
            tokio::select! {
                link = self.links.recv() => match link {
                    Some(link) => if self.take_over(link).await { return true },
                    None => return false,
                },
                () = sleep_until(until) => return false,
                changed = self.updates.changed() => {
                    let gone_back = || {
                        let migration = self.updates.borrow();
                        let source = migration.status.as_ref().and_then(|status| status.source.as_ref());
                        source.is_some_and(|source| source.state == SourceState::RolledBack)
                    };
                    if changed.is_err() || gone_back() {
                        return false;
                    }
                }
            }
        }
    }

    /// Lets the connection take the place of the one there is (or was), if nothing can have been lost; else refuses it.
    async fn take_over(&mut self, mut link: Link) -> bool {
        if !self.inbox.may_be_resumed() {
            tokio::spawn(turn_away(link));
            return false;
        }
        let hears = timeout(AGREE_WITHIN, manifest_of(&mut link.receiver));
        let manifest = match hears.await {
            Ok(Ok(manifest)) => manifest,
            Ok(Err(error)) => {
                tracing::info!(
                    error = chain(&error),
                    "a connection was lost before it could be used"
                );
                return false;
            }
            Err(_) => return false,
        };
        let here = self.inbox.ended();
        let why_not = match link.resumes {
            None => Some("the migration has begun already"),
            Some(_) if manifest != *self.manifest => Some("the manifest is not the one that was agreed on"),
            Some(ended) if ended != here => Some("not all that was sent had arrived"),
            Some(_) => None,
        };
        if let Some(why) = why_not {
            refuse(&link.sender, why).await;
            return false;
        }
        self.sender.move_to(&link.sender);
        *self.receiver = link.receiver;
        // If this cannot be said, the new connection is broken as well, which is noticed where the old one's break was.
        let said = self.sender.send(Message::ManifestOk(Agreed::default())).await;
        tracing::info!(agreed = said.is_ok(), "the source is connected anew");
        said.is_ok()
    }
}

/// Turns away a connection that would resume what is not under way here.
pub(super) async fn turn_away(mut link: Link) {
    // What matters is that the caller is not kept waiting; it gives up by itself.
    let _ = timeout(AGREE_WITHIN, manifest_of(&mut link.receiver)).await;
    refuse(&link.sender, "nothing is under way here that can be resumed").await;
}

async fn refuse(sender: &Sender, why: &str) {
    tracing::warn!(why, "a connection of the source is refused");
    let refusal = async {
        sender
            .send(Message::Refuse(Refuse::new("ResumeImpossible", why)))
            .await?;
        sender.flush().await
    };
    let _ = timeout(FAREWELL, refusal).await;
}

/// The first thing that the source says.
async fn manifest_of(receiver: &mut Receiver) -> Result<Manifest, PeerError> {
    loop {
        if let Event::Message(Message::Manifest(manifest)) = receiver.recv().await? {
            return Ok(manifest);
        }
    }
}
