//! Pages that arrive, on their way into the store.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use godwit_memory::{
    images::{ImageError, lazy_pages},
    store::{Store, StoreError},
    wire::{Decoder, WireError},
};
use godwit_runtime::veil::{self, VeilError};
use thiserror::Error;
use tokio::{
    sync::mpsc,
    task::{self, JoinHandle},
};

use super::stores::{Stores, WAITING_BATCHES, keep};

/// Why pages cannot be kept, or are not all there.
#[derive(Debug, Error)]
pub(crate) enum PagesError {
    /// What came is no batch.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// CRIU's images.
    #[error(transparent)]
    Images(#[from] ImageError),
    /// What was hidden from CRIU.
    #[error(transparent)]
    Veil(#[from] VeilError),
    /// Pages of a container that the manifest does not name, or whose memory does not come apart.
    #[error("pages of container `{container}` came, whose memory does not travel ahead")]
    Unexpected {
        /// The container.
        container: String,
    },
    /// CRIU's images name pages that have never come.
    #[error(
        "{pages} pages of memory of container {container} have not come, the first at {first:#x} of its process {process}"
    )]
    Missing {
        /// The container.
        container: String,
        /// How many.
        pages: u64,
        /// Process, as the container counts.
        process: i32,
        /// Address.
        first: u64,
    },
    /// The thread has ended without a result.
    #[error("the thread that keeps pages has ended before its time")]
    Thread,
}

impl PagesError {
    /// Stable reason.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Wire(error) => error.reason(),
            Self::Store(error) => error.reason(),
            Self::Images(error) => error.reason(),
            Self::Veil(error) => error.reason(),
            Self::Unexpected { .. } => "PagesUnexpected",
            Self::Missing { .. } => "PagesMissing",
            Self::Thread => "Internal",
        }
    }
}

/// The pages of one container that come in the freeze, decoded and stored by a thread of their own.
#[derive(Debug)]
pub(super) struct PagesIn {
    container: String,
    batches: mpsc::Sender<Bytes>,
    storing: JoinHandle<Result<Arc<Store>, PagesError>>,
}

impl PagesIn {
    /// Keeps what comes in the container's store.
    pub(super) fn start(container: String, stores: Arc<Stores>) -> Self {
        let (batches, waiting) = mpsc::channel(WAITING_BATCHES);
        let of = container.clone();
        let storing = task::spawn_blocking(move || store_all(&stores, &of, waiting));
        Self {
            container,
            batches,
            storing,
        }
    }

    /// Takes a batch; waits for room. Fails with what went wrong with an earlier one.
    pub(super) async fn take(&mut self, batch: Bytes) -> Result<(), PagesError> {
        if self.batches.send(batch).await.is_ok() {
            return Ok(());
        }
        match (&mut self.storing).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) | Err(_) => Err(PagesError::Thread),
        }
    }

    /// Nothing more comes: fails unless every page that the complete images in `directory` leave out is in the store.
    pub(super) async fn finish(self, directory: PathBuf) -> Result<(), PagesError> {
        let Self {
            container,
            batches,
            storing,
        } = self;
        drop(batches);
        let store = storing.await.map_err(|_| PagesError::Thread)??;
        let checking = task::spawn_blocking(move || complete(&container, &store, &directory));
        checking.await.map_err(|_| PagesError::Thread)?
    }
}

fn store_all(
    stores: &Stores,
    container: &str,
    mut batches: mpsc::Receiver<Bytes>,
) -> Result<Arc<Store>, PagesError> {
    let store = stores.of(container)?;
    let mut decoder = Decoder::new();
    while let Some(batch) = batches.blocking_recv() {
        keep(&store, &mut decoder, &batch)?;
    }
    Ok(store)
}

fn complete(container: &str, store: &Store, images: &Path) -> Result<(), PagesError> {
    // What was hidden from CRIU is lazy as well; from here on the images say so.
    veil::merge(images)?;
    for process in lazy_pages(images)? {
        let missing = store.missing(process.ns_pid, &process.ranges);
        if let Some(first) = missing.first() {
            return Err(PagesError::Missing {
                container: container.to_owned(),
                pages: missing.iter().map(|range| range.pages).sum(),
                process: process.ns_pid,
                first: first.start,
            });
        }
    }
    Ok(())
}
