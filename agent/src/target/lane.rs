//! One connection of a lane, from Welcome to its end.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use godwit_memory::wire::Decoder;
use godwit_transfer::{Event, Message, ObjectKind, Stored};
use tokio::{
    sync::{mpsc, watch},
    task,
};
use tokio_util::sync::CancellationToken;

use super::{
    pages::PagesError,
    stores::{Stores, WAITING_BATCHES, keep},
};
use crate::{
    failure::chain,
    peer::{Caller, PeerError, Receiver, Sender},
};

/// What the connection hands to the thread that keeps pages.
enum Arrived {
    /// What follows is of this container.
    Begin(String),
    Batch(Bytes),
    /// The object of that number is over.
    End(u32),
}

/// Lets the caller in and keeps what it brings, until it goes or `stop` says so; everything that it has brought is kept by then. A lane that breaks
/// is no failure: the source calls again. Fails only if pages cannot be kept.
pub(super) async fn run(
    caller: Caller,
    stores: Arc<Stores>,
    containers: Arc<HashSet<String>>,
    stop: CancellationToken,
) -> Result<(), PagesError> {
    let number = caller.hello().lane;
    let (sender, mut receiver) = tokio::select! {
        welcomed = caller.welcome() => match welcomed {
            Ok(link) => link,
            Err(error) => {
                tracing::info!(number, error = chain(&error), "a lane was lost at once");
                return Ok(());
            }
        },
        () = stop.cancelled() => return Ok(()),
    };
    let (queue, waiting) = mpsc::channel(WAITING_BATCHES);
    let (tell, kept) = watch::channel(0);
    let storing = task::spawn_blocking(move || keep_all(&stores, waiting, &tell));
    let ended = tokio::select! {
        ended = receive(&mut receiver, &queue, &containers) => ended,
        error = acknowledge(&sender, kept) => Ok(error),
        () = stop.cancelled() => Ok(None),
    };
    drop(queue);
    let result = storing.await.map_err(|_| PagesError::Thread)?;
    if let Some(error) = ended? {
        tracing::info!(number, error = chain(&error), "a lane has ended");
    }
    result
}

/// Hands over what comes; gives why nothing more does, if that is not the thread's fault.
async fn receive(
    receiver: &mut Receiver,
    queue: &mpsc::Sender<Arrived>,
    containers: &HashSet<String>,
) -> Result<Option<PeerError>, PagesError> {
    loop {
        let arrived = match receiver.recv().await {
            Ok(Event::ObjectStart { spec, .. }) => match spec.kind {
                ObjectKind::Pages { container, .. } if containers.contains(&container) => {
                    Arrived::Begin(container)
                }
                other => {
                    let container = other.container().unwrap_or_default().to_owned();
                    return Err(PagesError::Unexpected { container });
                }
            },
            Ok(Event::Chunk { data, .. }) => Arrived::Batch(data),
            Ok(Event::ObjectEnd { id, .. }) => Arrived::End(id.number()),
            Ok(_) => continue,
            Err(error) => return Ok(Some(error)),
        };
        if queue.send(arrived).await.is_err() {
            return Ok(None);
        }
    }
}

/// Tells the source what is kept; gives why it cannot be told any more, if that is not the thread's fault.
async fn acknowledge(sender: &Sender, mut stored: watch::Receiver<u32>) -> Option<PeerError> {
    loop {
        stored.changed().await.ok()?;
        let objects = *stored.borrow_and_update();
        if let Err(error) = sender.send(Message::Stored(Stored { objects })).await {
            return Some(error);
        }
    }
}

fn keep_all(
    stores: &Stores,
    mut waiting: mpsc::Receiver<Arrived>,
    tell: &watch::Sender<u32>,
) -> Result<(), PagesError> {
    let mut decoder = Decoder::new();
    let mut store = None;
    while let Some(arrived) = waiting.blocking_recv() {
        match (arrived, &store) {
            (Arrived::Begin(container), _) => store = Some(stores.of(&container)?),
            (Arrived::Batch(batch), Some(store)) => keep(store, &mut decoder, &batch)?,
            // The session lets no batch through before its object.
            (Arrived::Batch(_), None) => {}
            (Arrived::End(object), _) => {
                tell.send_replace(object);
            }
        }
    }
    Ok(())
}
