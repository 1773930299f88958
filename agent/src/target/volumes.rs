//! Volumes are filled while their content arrives: neither a file of many gigabytes nor millions of small ones lie anywhere else before.
//!
//! What is written to a volume in memory is charged to the cgroup of whoever writes it first, the agent's, not the target pod's as at
//! the source; so it is with `/dev/shm`. A page that the pod writes anew after a `truncate` or swap-in is its own again.

use std::{
    collections::HashMap,
    io::{self, BufReader, Read},
    os::fd::OwnedFd,
};

use bytes::{Buf, Bytes};
use godwit_files::{ApplyState, Limits, Stats, Target, apply};
use thiserror::Error;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};

use crate::volumes::Volume;

/// Chunks that may wait for the disk.
const WAITING_CHUNKS: usize = 8;

/// Why a volume could not be filled.
#[derive(Debug, Error)]
pub(crate) enum VolumesError {
    /// The stream, or the file system it goes to.
    #[error("volume {volume} (bounded by its sizeLimit and by the node's storage) could not be filled")]
    Apply {
        /// Which.
        volume: String,
        /// Why.
        source: godwit_files::Error,
    },
    /// Something came for a volume that is not expected, or while it was being filled.
    #[error("content of volume {volume} came out of turn")]
    OutOfTurn {
        /// Which.
        volume: String,
    },
    /// The stream goes on behind its end.
    #[error("more came for volume {volume} than its stream of files holds")]
    Tail {
        /// Which.
        volume: String,
    },
    /// The writing thread.
    #[error("the thread that fills a volume has ended before its time")]
    Thread,
}

impl VolumesError {
    /// Stable reason.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Apply { source, .. } => source.reason(),
            Self::OutOfTurn { .. } => "VolumeOutOfTurn",
            Self::Tail { .. } => "FilesStreamCorrupt",
            Self::Thread => "Internal",
        }
    }
}

/// One that waits for its next pass.
#[derive(Debug)]
struct Waiting {
    directory: OwnedFd,
    state: ApplyState,
}

/// The volumes of the target pod that nothing is written to at the moment.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    waiting: HashMap<String, Waiting>,
}

/// One pass of a volume, being written by a thread.
#[derive(Debug)]
pub(super) struct Filling {
    volume: String,
    chunks: mpsc::Sender<Bytes>,
    thread: JoinHandle<godwit_files::Result<(Waiting, Stats)>>,
}

impl Volumes {
    /// Those that the manifest names, as the target pod has them.
    pub(super) fn new(volumes: Vec<Volume>) -> Self {
        let waiting = volumes.into_iter().map(|Volume { name, directory }| {
            let state = ApplyState::new(Limits::default());
            (name, Waiting { directory, state })
        });
        Self {
            waiting: waiting.collect(),
        }
    }

    /// A pass of a volume begins.
    pub(super) fn begin(&mut self, volume: &str) -> Result<Filling, VolumesError> {
        let Some(Waiting { directory, mut state }) = self.waiting.remove(volume) else {
            return Err(VolumesError::OutOfTurn {
                volume: volume.to_owned(),
            });
        };
        let (chunks, arriving) = mpsc::channel(WAITING_CHUNKS);
        let thread = spawn_blocking(move || {
            let target = Target::from(directory);
            let mut input = BufReader::with_capacity(1 << 18, Arriving::new(arriving));
            let stats = apply(&mut input, &target, &mut state)?;
            let directory = target.into_root();
            Ok((Waiting { directory, state }, stats))
        });
        Ok(Filling {
            volume: volume.to_owned(),
            chunks,
            thread,
        })
    }

    /// The pass has arrived: waits until it is written.
    pub(super) async fn end(&mut self, filling: Filling) -> Result<(), VolumesError> {
        let Filling {
            volume,
            chunks,
            thread,
        } = filling;
        drop(chunks);
        let (waiting, stats) = result(&volume, thread).await?;
        tracing::info!(
            volume,
            entries = stats.entries,
            bytes = stats.bytes,
            "files of a volume written"
        );
        self.waiting.insert(volume, waiting);
        Ok(())
    }
}

impl Filling {
    /// More of it.
    pub(super) async fn take(&mut self, data: Bytes) -> Result<(), VolumesError> {
        if self.chunks.send(data).await.is_ok() {
            return Ok(());
        }
        // Once the end of the stream is read the thread takes nothing more.
        let thread = std::mem::replace(&mut self.thread, spawn_blocking(|| Err(ended())));
        result(&self.volume, thread).await?;
        Err(VolumesError::Tail {
            volume: self.volume.clone(),
        })
    }
}

fn ended() -> godwit_files::Error {
    godwit_files::Error::Truncated
}

async fn result(
    volume: &str,
    thread: JoinHandle<godwit_files::Result<(Waiting, Stats)>>,
) -> Result<(Waiting, Stats), VolumesError> {
    let written = thread.await.map_err(|_| VolumesError::Thread)?;
    written.map_err(|source| VolumesError::Apply {
        volume: volume.to_owned(),
        source,
    })
}

/// Chunks as a thread reads them; the end of the channel is the end of the file.
struct Arriving {
    chunks: mpsc::Receiver<Bytes>,
    now: Bytes,
}

impl Arriving {
    fn new(chunks: mpsc::Receiver<Bytes>) -> Self {
        Self {
            chunks,
            now: Bytes::new(),
        }
    }
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.now = chunk,
                None => return Ok(0),
            }
        }
        let taken = self.now.len().min(buffer.len());
        self.now.copy_to_slice(&mut buffer[..taken]);
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use godwit_files::{SharedMapped, Source, write_base, write_delta};

    use super::*;

    fn volumes(directory: &Path) -> Volumes {
        Volumes::new(vec![Volume {
            name: "scratch".to_owned(),
            directory: fs::File::open(directory).unwrap().into(),
        }])
    }

    async fn pass(volumes: &mut Volumes, stream: &[u8]) -> Result<(), VolumesError> {
        let mut filling = volumes.begin("scratch")?;
        for chunk in stream.chunks(1000) {
            filling.take(Bytes::copy_from_slice(chunk)).await?;
        }
        volumes.end(filling).await
    }

    fn streams(from: &Path) -> (Vec<u8>, Vec<u8>) {
        fs::write(from.join("big"), vec![7; 3 << 20]).unwrap();
        let source = Source::tree(from).unwrap();
        let (mut base, mut delta) = (Vec::new(), Vec::new());
        let manifest = write_base(&source, &SharedMapped::none(), &mut base).unwrap();
        fs::write(from.join("late"), "late").unwrap();
        write_delta(&source, &manifest, &SharedMapped::none(), &mut delta).unwrap();
        (base, delta)
    }

    #[tokio::test]
    async fn passes_are_written_where_the_volume_is() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (base, delta) = streams(from.path());
        let mut volumes = volumes(to.path());
        pass(&mut volumes, &base).await.unwrap();
        pass(&mut volumes, &delta).await.unwrap();
        assert_eq!(fs::read(to.path().join("big")).unwrap(), vec![7; 3 << 20]);
        assert_eq!(fs::read(to.path().join("late")).unwrap(), b"late");
    }

    #[tokio::test]
    async fn a_stream_that_ends_early_goes_on_or_comes_out_of_turn_is_an_error() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut base, delta) = streams(from.path());
        let error = pass(&mut volumes(to.path()), &base[..base.len() - 1])
            .await
            .unwrap_err();
        assert_eq!(error.reason(), "FilesStreamTruncated");
        let error = pass(&mut volumes(to.path()), &delta).await.unwrap_err();
        assert_eq!(error.reason(), "FilesDeltaWithoutBase");
        let mut others = volumes(to.path());
        let _first = others.begin("scratch").unwrap();
        assert_eq!(others.begin("scratch").unwrap_err().reason(), "VolumeOutOfTurn");
        assert_eq!(others.begin("other").unwrap_err().reason(), "VolumeOutOfTurn");
        base.extend(vec![0; 4 << 20]);
        let error = pass(&mut volumes(to.path()), &base).await.unwrap_err();
        assert_eq!(error.reason(), "FilesStreamCorrupt");
    }

    #[tokio::test]
    async fn a_volume_that_takes_nothing_is_named() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (base, _) = streams(from.path());
        let mut volumes = volumes(to.path());
        // Nothing can be made in a directory that is gone.
        to.close().unwrap();
        let error = pass(&mut volumes, &base).await.unwrap_err();
        assert_eq!(error.reason(), "FilesWriteFailed");
        assert!(error.to_string().contains("volume scratch"), "{error}");
    }
}
