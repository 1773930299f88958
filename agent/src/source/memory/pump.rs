//! From the thread that reads pages to the wire.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use godwit_memory::rounds::Pace;
use godwit_transfer::{ObjectKind, ObjectSpec};
use tokio::{
    sync::mpsc,
    task,
    time::{Instant, sleep},
};

use super::container::{ContainerMemory, MemoryError};
use crate::{
    failure::{AtStep, Failure},
    peer::Sender,
    step::SourceStep,
};

/// Batches that may wait for the wire: what bounds the memory of a copy.
const WAITING_BATCHES: usize = 8;

/// Where a thread puts its batches.
pub(super) struct Batches {
    queue: mpsc::Sender<(Bytes, u64)>,
    link: Arc<Mutex<Option<(usize, Duration)>>>,
}

impl Batches {
    /// Waits for room, then hands a batch over. Fails when nobody takes them any more.
    pub(super) fn send(&self, batch: Bytes, pages: u64) -> io::Result<()> {
        self.queue
            .blocking_send((batch, pages))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Bytes that the link has taken since this was asked for the last time, and how long that took.
    pub(super) fn link(&self) -> Option<(usize, Duration)> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The caps on what is sent while a pod runs: the migration's and the node's.
#[derive(Clone, Debug)]
pub(super) struct Caps {
    began: Instant,
    paces: Vec<Arc<Mutex<Pace>>>,
}

impl Caps {
    /// Both caps; there may be none.
    pub(super) fn new(of_migration: Option<u64>, of_node: Option<Arc<Mutex<Pace>>>, began: Instant) -> Self {
        let own = of_migration.map(|cap| Arc::new(Mutex::new(Pace::new(cap))));
        Self {
            began,
            paces: own.into_iter().chain(of_node).collect(),
        }
    }

    async fn wait(&self, bytes: usize) {
        let now = self.began.elapsed();
        let wait = |pace: &Arc<Mutex<Pace>>| {
            pace.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .book(now, bytes as u64)
        };
        let longest = self.paces.iter().map(wait).max().unwrap_or_default();
        if !longest.is_zero() {
            sleep(longest).await;
        }
    }
}

/// What has been sent of a round so far; read by whoever reports.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    pages: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl Sent {
    /// Pages.
    pub(super) fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }

    /// Bytes on the wire.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// One object of pages: of which container and round, and how it goes.
pub(super) struct Pump<'a> {
    /// The connection.
    pub(super) sender: &'a Sender,
    /// The step for which it is done.
    pub(super) step: SourceStep,
    /// Number of the round.
    pub(super) round: u32,
    /// What slows it down; `None` in the freeze.
    pub(super) caps: Option<&'a Caps>,
    /// Where it is counted.
    pub(super) sent: Sent,
}

impl Pump<'_> {
    /// Sends as one object what `produce` makes of the container on a thread of its own; gives the container back, with the result.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        mut container: ContainerMemory,
        produce: impl FnOnce(&mut ContainerMemory, &Batches) -> Result<T, MemoryError> + Send + 'static,
    ) -> Result<(ContainerMemory, T), Failure> {
        let kind = ObjectKind::Pages {
            container: container.name.clone(),
            round: self.round,
        };
        let id = self
            .sender
            .begin_object(ObjectSpec::new(kind))
            .await
            .at(self.step)?;
        let (queue, mut batches) = mpsc::channel(WAITING_BATCHES);
        let link = Arc::new(Mutex::new(None));
        let out = Batches {
            queue,
            link: link.clone(),
        };
        // Given up, this future is dropped, and with it the queue: the thread then ends at its next batch, and tracking with it.
        let producing = task::spawn_blocking(move || {
            let result = produce(&mut container, &out);
            (container, result)
        });
        while let Some((batch, pages)) = batches.recv().await {
            let length = batch.len();
            // Whoever chooses how to compress sees the slowest part of the way as the link: the cap, where there is one.
            let began = Instant::now();
            if let Some(caps) = self.caps {
                caps.wait(length).await;
            }
            self.sender.send_chunk(id, batch).await.at(self.step)?;
            note(&link, length, began.elapsed());
            self.sent.pages.fetch_add(pages, Ordering::Relaxed);
            self.sent.bytes.fetch_add(length as u64, Ordering::Relaxed);
        }
        let (container, result) = producing.await.map_err(|_| MemoryError::Thread).at(self.step)?;
        let result = result.at(self.step)?;
        self.sender.end_object(id).await.at(self.step)?;
        Ok((container, result))
    }
}

fn note(link: &Mutex<Option<(usize, Duration)>>, length: usize, took: Duration) {
    let mut link = link.lock().unwrap_or_else(PoisonError::into_inner);
    let (bytes, before) = link.take().unwrap_or_default();
    *link = Some((bytes + length, before + took));
}
