//! Sending what CRIU writes, while it writes it.
//!
//! CRIU writes every image from the front to the end (it must, for it can also write them into pipes, `criu dump --stream`). So they
//! are read behind its back as they grow, and little is left to be sent when the dump is over.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs::{self, File},
    io::{self, Read},
    path::Path,
    time::Duration,
};

use bytes::BytesMut;
use godwit_transfer::{CHUNK_LEN, ObjectId, ObjectKind, ObjectSpec};
use thiserror::Error;
use tokio::{sync::watch, time::sleep};

use crate::peer::{PeerError, Sender};

/// Written by runc before it asks CRIU, and sent ahead as an object of its own kind.
pub const DESCRIPTORS: &str = "descriptors.json";

/// How long to wait when CRIU has not written anything new.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Why images cannot be sent.
#[derive(Debug, Error)]
pub enum ImagesError {
    /// A file of the image directory.
    #[error("an image of CRIU cannot be read")]
    Read(#[from] io::Error),
    /// The connection.
    #[error(transparent)]
    Peer(#[from] PeerError),
}

impl ImagesError {
    /// Stable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Read(_) => "ImagesUnreadable",
            Self::Peer(error) => error.reason(),
        }
    }
}

struct Growing {
    file: File,
    id: ObjectId,
}

/// Sends every image of one container; `dumped` turns true when CRIU has written the last byte.
///
/// The files are in memory, so that reading them never waits and needs no thread of its own.
pub async fn send_images(
    sender: &Sender,
    container: &str,
    directory: &Path,
    mut dumped: watch::Receiver<bool>,
) -> Result<(), ImagesError> {
    let mut growing: BTreeMap<String, Growing> = BTreeMap::new();
    loop {
        // Looked at before reading: what is read after it is everything.
        let last = *dumped.borrow_and_update();
        for name in image_names(directory)? {
            if let Entry::Vacant(new) = growing.entry(name) {
                let file = File::open(directory.join(new.key()))?;
                let size = file.metadata()?.len();
                let kind = ObjectKind::CriuImage {
                    container: container.to_owned(),
                    name: new.key().clone(),
                };
                let id = sender
                    .begin_object(ObjectSpec::new(kind).with_size_hint(size))
                    .await?;
                new.insert(Growing { file, id });
            }
        }
        let mut moved = false;
        for image in growing.values_mut() {
            moved |= send_rest(sender, image).await?;
        }
        if last {
            for image in growing.values() {
                sender.end_object(image.id).await?;
            }
            return Ok(());
        }
        if !moved {
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                _ = dumped.changed() => {}
            }
        }
    }
}

/// Sends what is in the file and has not been sent; true if there was anything.
async fn send_rest(sender: &Sender, image: &mut Growing) -> Result<bool, ImagesError> {
    let mut moved = false;
    loop {
        let mut chunk = BytesMut::zeroed(CHUNK_LEN);
        let read = image.file.read(&mut chunk)?;
        if read == 0 {
            return Ok(moved);
        }
        chunk.truncate(read);
        sender.send_chunk(image.id, chunk.freeze()).await?;
        moved = true;
    }
}

fn image_names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if let Some(name) = entry.file_name().to_str()
            && name != DESCRIPTORS
            && entry.file_type()?.is_file()
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}
