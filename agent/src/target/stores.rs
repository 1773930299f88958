//! The stores of a migration's containers.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use godwit_memory::{
    range::PAGE,
    store::{Store, StoreError},
    wire::{Decoder, Op},
};

use super::{page_server::store_dir, pages::PagesError};

/// Batches that may wait for a store: what bounds the memory of whoever brings them.
pub(super) const WAITING_BATCHES: usize = 8;

/// One store for each container, made when its first pages come: whoever receives pages of it puts them there.
#[derive(Debug)]
pub(crate) struct Stores {
    directory: PathBuf,
    stores: Mutex<HashMap<String, Arc<Store>>>,
}

impl Stores {
    /// Below `directory`, beside the images.
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_path_buf(),
            stores: Mutex::default(),
        }
    }

    /// The store of a container.
    pub(crate) fn of(&self, container: &str) -> Result<Arc<Store>, StoreError> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(container) {
            return Ok(Arc::clone(store));
        }
        let store = Arc::new(Store::create(&store_dir(&self.directory.join(container)))?);
        stores.insert(container.to_owned(), Arc::clone(&store));
        Ok(store)
    }
}

/// Puts a batch into a store.
pub(crate) fn keep(store: &Store, decoder: &mut Decoder, batch: &[u8]) -> Result<(), PagesError> {
    for op in decoder.decode(batch)?.ops() {
        match op {
            Op::Zero { ns_pid, range } => store.zero(ns_pid, range)?,
            Op::Data { ns_pid, vaddr, pages } => store.write(ns_pid, vaddr, pages)?,
            Op::Copy {
                ns_pid,
                range,
                from: (process, address),
            } => {
                for offset in (0..range.pages).map(|page| page * PAGE) {
                    store.copy(ns_pid, range.start + offset, (process, address + offset))?;
                }
            }
        }
    }
    Ok(())
}
