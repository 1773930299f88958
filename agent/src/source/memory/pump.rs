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
use godwit_memory::{
    rounds::Pace,
    wire::{Batch, Chooser, Encoder, thread_cpu_time},
};
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
pub(super) const WAITING_BATCHES: usize = 8;

/// Where a thread puts its batches.
pub(super) struct Batches {
    queue: mpsc::Sender<Bytes>,
    pub(super) clock: Arc<LinkClock>,
}

impl Batches {
    /// Waits for room, then hands a batch over. Fails when nobody takes them any more.
    pub(super) fn send(&self, batch: Bytes) -> io::Result<()> {
        self.queue
            .blocking_send(batch)
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// What a connection has taken, and how long that took; noted by who writes to it, read by who chooses how to compress.
#[derive(Debug, Default)]
pub(super) struct LinkClock(Mutex<Option<(usize, Duration)>>);

impl LinkClock {
    /// So many bytes took so long.
    pub(super) fn note(&self, length: usize, took: Duration) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (bytes, before) = noted.take().unwrap_or_default();
        *noted = Some((bytes + length, before + took));
    }

    /// The encoder's batch, if there is anything in it, compressed as what was noted since the last one suggests.
    pub(super) fn batch(&self, chooser: &mut Chooser, encoder: &mut Encoder) -> Option<Batch> {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((bytes, took)) = noted {
            chooser.sent(bytes, took);
        }
        chooser.take(encoder, thread_cpu_time)
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

    /// Waits until so many bytes may be sent.
    pub(super) async fn wait(&self, bytes: usize) {
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

    /// A batch has been sent.
    pub(super) fn add(&self, pages: u64, bytes: u64) {
        self.pages.fetch_add(pages, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// One object of pages in the freeze: there nothing slows it down, and it goes with all else over the one connection.
pub(super) struct Pump<'a> {
    /// The connection.
    pub(super) sender: &'a Sender,
    /// Number of the round.
    pub(super) round: u32,
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
        let step = SourceStep::FinalPages;
        let id = self.sender.begin_object(ObjectSpec::new(kind)).await.at(step)?;
        let (queue, mut batches) = mpsc::channel(WAITING_BATCHES);
        let clock = Arc::new(LinkClock::default());
        let out = Batches {
            queue,
            clock: clock.clone(),
        };
        // Given up, this future is dropped, and with it the queue: the thread then ends at its next batch, and tracking with it.
        let producing = task::spawn_blocking(move || {
            let result = produce(&mut container, &out);
            (container, result)
        });
        while let Some(batch) = batches.recv().await {
            let length = batch.len();
            let began = Instant::now();
            self.sender.send_chunk(id, batch).await.at(step)?;
            clock.note(length, began.elapsed());
        }
        let (container, result) = producing.await.map_err(|_| MemoryError::Thread).at(step)?;
        let result = result.at(step)?;
        self.sender.end_object(id).await.at(step)?;
        Ok((container, result))
    }
}
