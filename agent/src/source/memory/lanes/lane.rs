//! One lane: sends its share of each round, on as many connections as it takes.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use godwit_memory::{range::PageRange, wire::Chooser};
use godwit_transfer::{Event, MAX_UNSTORED, Message, ObjectKind, ObjectSpec};
use tokio::{
    sync::{mpsc, watch},
    task,
    time::{Instant, sleep},
};

use super::{
    dial::{Dial, Trouble, may_be_resumed},
    plan::Plan,
    reading::{Out, Reading, Share, Way},
};
use crate::{
    failure::{AtStep, Failure, chain},
    peer::{PeerError, Receiver, Sender},
    source::memory::{
        container::MemoryError,
        pump::{Caps, LinkClock, Sent, WAITING_BATCHES},
    },
    step::SourceStep,
};

/// What all lanes share in a round.
pub(super) struct Work<'a> {
    pub(super) plan: Arc<Plan>,
    pub(super) caps: &'a Caps,
    pub(super) sent: &'a Sent,
}

/// One lane.
pub(super) struct Lane {
    number: u32,
    dial: Arc<Dial>,
    link: Option<(Sender, Receiver)>,
    /// With the thread while a round lasts.
    reading: Option<Reading>,
    trouble: Trouble,
}

impl Lane {
    /// The lane of that number among so many. Nothing is dialled before there is something to send.
    pub(super) fn new(number: u32, lanes: usize, dial: Arc<Dial>) -> Self {
        Self {
            number,
            dial,
            link: None,
            reading: Some(Reading::new(lanes)),
            trouble: Trouble::default(),
        }
    }

    /// What has been learnt of the link and of compression.
    pub(super) fn chooser(&self) -> Option<&Chooser> {
        self.reading.as_ref().map(Reading::chooser)
    }

    /// Takes pieces of the round until there are no more and the target has kept all that this lane took. A connection that breaks is
    /// dialled again. Fails if that is of no use for too long.
    pub(super) async fn round(&mut self, work: &Work<'_>) -> Result<(), Failure> {
        let step = SourceStep::CopyMemory;
        let mut share = Share::default();
        loop {
            let mut reading = self.reading.take().ok_or(MemoryError::Thread).at(step)?;
            let (queue, mut out) = mpsc::channel(WAITING_BATCHES);
            let clock = Arc::new(LinkClock::default());
            let way = Way {
                queue,
                clock: clock.clone(),
            };
            let plan = work.plan.clone();
            // Given up, this future is dropped, and with it the queue: the thread then ends at its next batch.
            let thread = task::spawn_blocking(move || {
                let read = reading.run(&plan, &mut share, &way);
                (reading, share, read)
            });
            let (kept, ended) = self.send(&mut out, work, &clock).await;
            drop(out);
            let (reading, back, read) = thread.await.map_err(|_| MemoryError::Thread).at(step)?;
            self.reading = Some(reading);
            share = back;
            match (ended, read) {
                (Ok(()), Ok(())) => return Ok(()),
                (Err(error), Ok(()) | Err(MemoryError::GivenUp(_))) => {
                    self.link = None;
                    share.broken(kept);
                    if kept > 0 {
                        self.trouble.over();
                    }
                    self.pause(&error).await?;
                }
                (_, Err(error)) => return Err(error).at(step),
            }
        }
    }

    /// The same lane, with what it knows, to another place.
    #[cfg(test)]
    pub(super) fn leads_to(mut self, address: std::net::SocketAddr) -> Self {
        let dial = Dial {
            address,
            ..(*self.dial).clone()
        };
        self.dial = Arc::new(dial);
        self
    }

    /// Closes the connection.
    pub(super) fn close(&mut self) {
        self.link = None;
    }

    async fn pause(&mut self, error: &PeerError) -> Result<(), Failure> {
        let step = SourceStep::CopyMemory;
        if !may_be_resumed(error) {
            return Err(Failure::from_error(step, error.reason(), error));
        }
        let limit = self.dial.give_up_after;
        let Some(pause) = self.trouble.again(Instant::now(), &self.dial) else {
            let message = format!(
                "lane {} to the agent of node {} broke and could not be resumed for {} s: {}",
                self.number,
                self.dial.target,
                limit.as_secs(),
                chain(error)
            );
            return Err(Failure::new(step, "LaneLost", message));
        };
        let (lane, error) = (self.number, chain(error));
        tracing::warn!(lane, error, ?pause, "a lane broke and is dialled again");
        sleep(pause).await;
        Ok(())
    }

    /// Sends what the thread gives, until it gives no more and all of it is kept. Gives also how many pieces are.
    async fn send(
        &mut self,
        out: &mut mpsc::Receiver<Out>,
        work: &Work<'_>,
        clock: &LinkClock,
    ) -> (usize, Result<(), PeerError>) {
        let Some(first) = out.recv().await else {
            return (0, Ok(()));
        };
        let (sender, receiver) = match &mut self.link {
            Some(link) => link,
            none => match self.dial.lane(self.number).await {
                Ok(link) => none.insert(link),
                Err(error) => return (0, Err(error)),
            },
        };
        let before = sender.last_object();
        let (tell, stored) = watch::channel(before);
        let ended: Mutex<VecDeque<_>> = Mutex::default();
        let sending = Sending {
            sender,
            work,
            clock,
            ended: &ended,
            stored: stored.clone(),
        };
        let result = tokio::select! {
            sent = sending.run(first, out) => sent,
            error = hear(receiver, &tell, &work.plan, &ended) => Err(error),
        };
        let kept = usize::try_from(*stored.borrow() - before).unwrap_or(usize::MAX);
        (kept, result)
    }
}

/// Pages of each container that were in pieces which have ended and are not known to be kept.
type Ended = Mutex<VecDeque<(usize, Vec<(i32, PageRange)>)>>;

/// Notes what the target keeps, until the connection ends.
async fn hear(receiver: &mut Receiver, tell: &watch::Sender<u32>, plan: &Plan, ended: &Ended) -> PeerError {
    loop {
        match receiver.recv().await {
            Ok(Event::Message(Message::Stored(stored))) => {
                let more = stored.objects.saturating_sub(*tell.borrow());
                for _ in 0..more {
                    let piece = ended.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    if let Some((container, pages)) = piece {
                        plan.keep(container, &pages);
                    }
                }
                tell.send_replace(stored.objects);
            }
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

/// The sending half of one connection in one round.
struct Sending<'a> {
    sender: &'a Sender,
    work: &'a Work<'a>,
    clock: &'a LinkClock,
    ended: &'a Ended,
    stored: watch::Receiver<u32>,
}

impl Sending<'_> {
    async fn run(mut self, first: Out, out: &mut mpsc::Receiver<Out>) -> Result<(), PeerError> {
        let mut open = None;
        let mut next = Some(first);
        while let Some(one) = next {
            match (one, open) {
                (Out::Begin { container }, _) => {
                    let next = self.sender.last_object() + 1;
                    self.until_stored(next.saturating_sub(MAX_UNSTORED)).await;
                    let kind = ObjectKind::Pages {
                        container: self.work.plan.name(container).to_owned(),
                        round: self.work.plan.number(),
                    };
                    open = Some(self.sender.begin_object(ObjectSpec::new(kind)).await?);
                }
                (Out::Batch { bytes, pages }, Some(id)) => {
                    let length = bytes.len();
                    // Whoever chooses how to compress sees the slowest part of the way as the link: the cap, where there is one.
                    let began = Instant::now();
                    self.work.caps.wait(length).await;
                    self.sender.send_chunk(id, bytes).await?;
                    self.clock.note(length, began.elapsed());
                    self.work.sent.add(pages, length as u64);
                }
                (Out::End { container, pages }, Some(id)) => {
                    self.ended
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push_back((container, pages));
                    self.sender.end_object(id).await?;
                }
                // The thread begins each piece before anything of it.
                (Out::Batch { .. } | Out::End { .. }, None) => {}
            }
            next = out.recv().await;
        }
        self.until_stored(self.sender.last_object()).await;
        Ok(())
    }

    /// What ends the wait, if not the target, is the end of the connection, which is noticed beside this.
    async fn until_stored(&mut self, object: u32) {
        // The other end of the channel lives as long as this.
        let _ = self.stored.wait_for(|stored| *stored >= object).await;
    }
}
