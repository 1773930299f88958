//! One layer: a list of files, written as a tar archive that depends on nothing but that list.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::cache;

/// How many layers of one name are kept.
const KEPT: usize = 4;

/// One entry of a layer. Paths are relative to the image's root, without a leading slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A folder.
    Dir {
        /// Where.
        path: String,
        /// Permissions.
        mode: u32,
        /// User and group.
        owner: u64,
    },
    /// A copy of a file of this machine, owned by root.
    File {
        /// Where.
        path: String,
        /// What is copied; symbolic links are followed.
        from: PathBuf,
        /// Permissions.
        mode: u32,
    },
    /// A file with this text, owned by root.
    Text {
        /// Where.
        path: String,
        /// Its content.
        content: String,
        /// Permissions.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// Where.
        path: String,
        /// To what.
        target: String,
    },
}

impl Entry {
    /// A folder of root's, 0755.
    pub fn dir(path: &str) -> Self {
        Self::Dir {
            path: path.to_owned(),
            mode: 0o755,
            owner: 0,
        }
    }

    /// A program.
    pub fn program(path: &str, from: &Path) -> Self {
        Self::File {
            path: path.to_owned(),
            from: from.to_path_buf(),
            mode: 0o755,
        }
    }

    /// A text that all may read.
    pub fn text(path: &str, content: &str) -> Self {
        Self::Text {
            path: path.to_owned(),
            content: content.to_owned(),
            mode: 0o644,
        }
    }

    /// A symbolic link.
    pub fn link(path: &str, target: &str) -> Self {
        Self::Link {
            path: path.to_owned(),
            target: target.to_owned(),
        }
    }

    /// Where it is in the image.
    pub fn path(&self) -> &str {
        match self {
            Self::Dir { path, .. }
            | Self::File { path, .. }
            | Self::Text { path, .. }
            | Self::Link { path, .. } => path,
        }
    }

    /// All that decides how it comes out.
    fn fingerprint(&self) -> Result<Vec<u8>> {
        let mut print = format!("{self:?}").into_bytes();
        if let Self::File { from, .. } = self {
            let mut hasher = blake3::Hasher::new();
            hasher
                .update_mmap(from)
                .with_context(|| format!("read {}", from.display()))?;
            print = format!("{} {}", self.path(), hasher.finalize().to_hex()).into_bytes();
        }
        Ok(print)
    }
}

/// A layer on disk.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The tar archive.
    pub path: PathBuf,
    /// Its SHA-256, as OCI writes it.
    pub digest: String,
    /// Its length.
    pub size: u64,
}

/// The layer of these entries, made if the cache does not have it. `name` is for people.
pub fn ensure(name: &str, entries: &[Entry]) -> Result<Layer> {
    let prints = entries
        .iter()
        .map(Entry::fingerprint)
        .collect::<Result<Vec<_>>>()?;
    let inputs: Vec<&[u8]> = prints.iter().map(Vec::as_slice).collect();
    let entry = cache::ensure(&format!("layer-{name}"), &inputs, |dir| {
        let path = dir.join("layer.tar");
        write(entries, &path)?;
        std::fs::write(dir.join("digest"), digest_of(&path)?)?;
        Ok(())
    })?;
    cache::prune(&format!("layer-{name}"), KEPT)?;
    let path = entry.join("layer.tar");
    let size = path.metadata()?.len();
    Ok(Layer {
        digest: std::fs::read_to_string(entry.join("digest"))?,
        size,
        path,
    })
}

fn write(entries: &[Entry], path: &Path) -> Result<()> {
    let file = std::fs::File::create(path)?;
    let mut tar = tar::Builder::new(std::io::BufWriter::with_capacity(1 << 20, file));
    for entry in entries {
        append(&mut tar, entry).with_context(|| format!("add {} to a layer", entry.path()))?;
    }
    tar.into_inner()?.flush()?;
    Ok(())
}

fn append(tar: &mut tar::Builder<impl Write>, entry: &Entry) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    match entry {
        Entry::Dir { path, mode, owner } => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(*mode);
            header.set_uid(*owner);
            header.set_gid(*owner);
            header.set_size(0);
            tar.append_data(&mut header, format!("{path}/"), std::io::empty())?;
        }
        Entry::File { path, from, mode } => {
            let file = std::fs::File::open(from)?;
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(*mode);
            header.set_size(file.metadata()?.len());
            tar.append_data(&mut header, path, file)?;
        }
        Entry::Text { path, content, mode } => {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(*mode);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content.as_bytes())?;
        }
        Entry::Link { path, target } => {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(0o777);
            header.set_size(0);
            tar.append_link(&mut header, path, target)?;
        }
    }
    Ok(())
}

fn digest_of(path: &Path) -> Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(named(&hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
    }
}

/// The digest of some bytes, as OCI writes it.
pub(super) fn digest_of_bytes(bytes: &[u8]) -> String {
    named(&Sha256::digest(bytes))
}

fn named(hash: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("sha256:");
    for byte in hash {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
