//! What was read of a file, for as long as it does not change: a node's libraries are read once, not once per pod.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use super::{Content, MAX_BYTES};
use crate::elf::Elf;

/// Read at once.
const BLOCK: usize = 256 << 10;
/// Most files that are remembered: beyond them all are forgotten, for most of those are of files that have changed.
const MOST: usize = 8192;
/// Most symbols of all of them, some hundred bytes each.
const MOST_SYMBOLS: usize = 500_000;

/// One file in one state: device, inode number, size, and the times of its last changes to content and inode.
type Key = (u64, u64, u64, [i64; 4]);

/// Contents that are known. Empty at first.
#[derive(Debug, Default)]
pub struct Cache {
    contents: BTreeMap<Key, Content>,
    elves: BTreeMap<Key, Option<Arc<Elf>>>,
    /// Symbols in them.
    symbols: usize,
    /// Files that were read for their content, for tests.
    reads: usize,
}

impl Cache {
    /// How many files were read in whole so far.
    pub fn reads(&self) -> usize {
        self.reads
    }

    /// The content of a regular file. None: it is larger than [`MAX_BYTES`].
    pub(super) fn content(&mut self, file: &mut File) -> io::Result<Option<Content>> {
        let key = key(file)?;
        if let Some(known) = self.contents.get(&key) {
            return Ok(Some(known.clone()));
        }
        if key.2 > MAX_BYTES {
            return Ok(None);
        }
        self.reads += 1;
        let build_id = self.elf(file)?.and_then(|elf| elf.build_id.clone());
        let Some((size, digest)) = digest(file)? else {
            return Ok(None);
        };
        let content = Content {
            size,
            digest,
            build_id,
        };
        // Changed while it was read: not to be remembered.
        if self::key(file)? == key {
            if self.contents.len() >= MOST {
                self.contents.clear();
            }
            self.contents.insert(key, content.clone());
        }
        Ok(Some(content))
    }

    /// What the dynamic linker knows of it. None: it is no ELF file, or a broken one.
    pub(super) fn elf(&mut self, file: &File) -> io::Result<Option<Arc<Elf>>> {
        let key = key(file)?;
        if let Some(known) = self.elves.get(&key) {
            return Ok(known.clone());
        }
        let elf = Elf::read(file).ok().map(Arc::new);
        let symbols = elf.as_ref().map_or(0, |elf| elf.needed.len() + elf.defined.len());
        if self.elves.len() >= MOST || self.symbols + symbols > MOST_SYMBOLS {
            self.elves.clear();
            self.symbols = 0;
        }
        self.symbols += symbols;
        self.elves.insert(key, elf.clone());
        Ok(elf)
    }
}

fn key(file: &File) -> io::Result<Key> {
    let found = file.metadata()?;
    let times = [
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec(),
    ];
    Ok((found.dev(), found.ino(), found.size(), times))
}

/// None: it has grown beyond the bound.
fn digest(file: &mut File) -> io::Result<Option<(u64, [u8; 32])>> {
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; BLOCK];
    let mut size = 0;
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok(Some((size, *hasher.finalize().as_bytes())));
        }
        size += read as u64;
        if size > MAX_BYTES {
            return Ok(None);
        }
        hasher.update(&block[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_once_and_again_when_it_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut cache = Cache::default();
        let mut content = || cache.content(&mut File::open(&path).unwrap()).unwrap().unwrap();
        std::fs::write(&path, "one").unwrap();
        let one = content();
        assert_eq!((one.size, one.build_id.clone()), (3, None));
        assert_eq!(one.digest, *blake3::hash(b"one").as_bytes());
        assert_eq!(content(), one);
        std::fs::write(&path, "other").unwrap();
        assert_ne!(content(), one);
        assert_eq!(cache.reads(), 2);
        let sparse = File::create(dir.path().join("big")).unwrap();
        sparse.set_len(MAX_BYTES + 1).unwrap();
        assert_eq!(
            cache
                .content(&mut File::open(dir.path().join("big")).unwrap())
                .unwrap(),
            None
        );
    }
}
