//! The task that writes frames.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use godwit_transfer::Frame;
use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::PeerError;
use super::connection::{Link, Tls};

/// Frames that may wait: enough to keep the writer busy while the next chunk is read and hashed, few enough that a
/// message is not stuck behind many.
const QUEUE: usize = 4;
/// Frames that are written in one go.
const BATCH: usize = 4;

/// What the writer is given.
pub(super) enum Order {
    /// Write this.
    Frame(Frame),
    /// Say when everything before this has been handed to the kernel.
    Flush(oneshot::Sender<()>),
}

/// Starts the task; it ends when all senders are gone, the connection breaks or is stopped.
pub(super) fn start(write: WriteHalf<Tls>, link: Arc<Link>) -> mpsc::Sender<Order> {
    let (orders, queue) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let ended = tokio::select! {
            ended = run(write, queue, &link) => ended,
            () = link.stop.cancelled() => Ok(()),
        };
        if let Err(error) = ended {
            link.fail(error);
            // The reader may be waiting for a peer that is gone.
            link.stop.cancel();
        }
    });
    orders
}

async fn run(
    mut write: WriteHalf<Tls>,
    mut queue: mpsc::Receiver<Order>,
    link: &Link,
) -> Result<(), PeerError> {
    let mut orders = Vec::with_capacity(BATCH);
    let mut pieces = VecDeque::with_capacity(2 * BATCH);
    while queue.recv_many(&mut orders, BATCH).await > 0 {
        let mut flushed = Vec::new();
        for order in orders.drain(..) {
            match order {
                Order::Frame(frame) => {
                    pieces.push_back(Bytes::copy_from_slice(&frame.header()));
                    pieces.push_back(frame.payload);
                }
                Order::Flush(done) => flushed.push(done),
            }
        }
        write_all(&mut write, &mut pieces, link).await?;
        progress(write.flush(), link).await?;
        for done in flushed {
            // Who asked may have stopped waiting.
            let _ = done.send(());
        }
    }
    // The peer learns that nothing more will come; if it is gone already, there is nobody to learn.
    let _ = progress(write.shutdown(), link).await;
    Ok(())
}

async fn write_all(
    write: &mut WriteHalf<Tls>,
    pieces: &mut VecDeque<Bytes>,
    link: &Link,
) -> Result<(), PeerError> {
    while !pieces.is_empty() {
        let written = {
            let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            progress(write.write_vectored(&slices), link).await?
        };
        if written == 0 {
            return Err(lost(link, io::ErrorKind::WriteZero.into()));
        }
        advance(pieces, written);
    }
    Ok(())
}

fn advance(pieces: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(piece) = pieces.front_mut() {
        let step = written.min(piece.len());
        piece.advance(step);
        written -= step;
        if !piece.is_empty() {
            return;
        }
        pieces.pop_front();
    }
}

/// One step of writing, which must not take longer than a stall.
async fn progress<T>(step: impl Future<Output = io::Result<T>>, link: &Link) -> Result<T, PeerError> {
    match timeout(link.timing.stall, step).await {
        Ok(done) => done.map_err(|source| lost(link, source)),
        Err(_) => Err(PeerError::Stalled {
            node: link.node.clone(),
            limit: link.timing.stall,
        }),
    }
}

fn lost(link: &Link, source: io::Error) -> PeerError {
    PeerError::Lost {
        node: link.node.clone(),
        source: Arc::new(source),
    }
}
