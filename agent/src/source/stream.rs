//! From a thread that writes to the wire.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use godwit_transfer::{CHUNK_LEN, ObjectSpec};
use thiserror::Error;
use tokio::{sync::mpsc, task};

use crate::peer::{PeerError, Sender};

/// Chunks that may wait for the wire: what bounds the memory of a stream.
const WAITING_CHUNKS: usize = 8;

/// Why a stream broke.
#[derive(Debug, Error)]
pub enum StreamError<E> {
    /// The thread that produces it failed.
    #[error(transparent)]
    Produce(E),
    /// The connection.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The connection took no more.
    #[error("the last bytes could not be handed over")]
    Flush(#[source] io::Error),
    /// The thread ended without a result.
    #[error("the thread that reads the files has ended before its time")]
    Thread,
}

/// Collects what is written into chunks for the wire.
#[derive(Debug)]
pub struct ObjectWriter {
    buffer: BytesMut,
    chunks: mpsc::Sender<Bytes>,
}

impl ObjectWriter {
    fn hand_over(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = self.buffer.split().freeze();
        self.chunks
            .blocking_send(chunk)
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

impl Write for ObjectWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = CHUNK_LEN - self.buffer.len();
        let taken = bytes.len().min(room);
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == CHUNK_LEN {
            self.hand_over()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hand_over()
    }
}

/// Sends as one object what `produce` writes on a thread of its own, and gives what it returns.
pub async fn send_stream<T, E, F>(sender: &Sender, spec: ObjectSpec, produce: F) -> Result<T, StreamError<E>>
where
    T: Send + 'static,
    E: Send + 'static,
    F: FnOnce(&mut ObjectWriter) -> Result<T, E> + Send + 'static,
{
    let (chunks, mut to_send) = mpsc::channel(WAITING_CHUNKS);
    let id = sender.begin_object(spec).await?;
    let producing = task::spawn_blocking(move || {
        let mut writer = ObjectWriter {
            buffer: BytesMut::with_capacity(CHUNK_LEN),
            chunks,
        };
        let result: T = produce(&mut writer).map_err(StreamError::Produce)?;
        writer.flush().map_err(StreamError::Flush)?;
        Ok::<T, StreamError<E>>(result)
    });
    while let Some(chunk) = to_send.recv().await {
        sender.send_chunk(id, chunk).await?;
    }
    let result = producing.await.map_err(|_| StreamError::Thread)??;
    sender.end_object(id).await?;
    Ok(result)
}
