//! The journal files: one JSON object a line, appended and synced.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    marker::PhantomData,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// A journal larger than this is not one of ours: a migration writes a few dozen lines.
const MAX_BYTES: u64 = 4 << 20;

/// Why a journal cannot be written or read.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The file or its directory.
    #[error("the journal {} cannot be used; the migration stops here", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line that is whole but not an entry.
    #[error("line {line} of the journal {} is not an entry of this version of the agent", path.display())]
    Entry {
        /// Which file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// Far too large.
    #[error("the journal {} has {bytes} bytes, which no migration writes", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
}

impl JournalError {
    /// Stable reason.
    pub fn reason(&self) -> &'static str {
        "JournalUnusable"
    }
}

/// The directory of all journals of a node.
#[derive(Clone, Debug)]
pub struct JournalDir(PathBuf);

impl JournalDir {
    /// Journals in `dir`, which must exist.
    pub fn new(dir: PathBuf) -> Self {
        Self(dir)
    }

    /// Opens, or begins, the journal of one migration in one role (`source` or `target`).
    pub fn open<E: Serialize + DeserializeOwned>(
        &self,
        migration: &str,
        role: &str,
    ) -> Result<Journal<E>, JournalError> {
        Journal::open(self.0.join(format!("{migration}.{role}")))
    }

    /// UIDs of the migrations that have a journal in that role.
    pub fn list(&self, role: &str) -> Result<Vec<String>, JournalError> {
        let failed = |source| JournalError::Io {
            path: self.0.clone(),
            source,
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if let Some((migration, suffix)) = name.to_str().and_then(|name| name.rsplit_once('.'))
                && suffix == role
            {
                found.push(migration.to_owned());
            }
        }
        Ok(found)
    }
}

/// One journal, open for appending.
#[derive(Debug)]
pub struct Journal<E> {
    path: PathBuf,
    file: File,
    entries: Vec<E>,
    marker: PhantomData<E>,
}

impl<E: Serialize + DeserializeOwned> Journal<E> {
    fn open(path: PathBuf) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Io {
            path: path.clone(),
            source,
        };
        let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if bytes > MAX_BYTES {
            return Err(JournalError::TooLarge { path, bytes });
        }
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        let text = fs::read(&path).map_err(failed)?;
        let (entries, torn) = parse(&path, &text)?;
        if torn {
            file.write_all(b"\n").map_err(failed)?;
        }
        if text.is_empty() {
            sync_directory(&path).map_err(failed)?;
        }
        Ok(Self {
            path,
            file,
            entries,
            marker: PhantomData,
        })
    }

    /// Appends an entry and returns when it is on disk.
    pub fn append(&mut self, entry: E) -> Result<(), JournalError> {
        let mut line = serde_json::to_vec(&entry).map_err(|source| JournalError::Io {
            path: self.path.clone(),
            source: source.into(),
        })?;
        line.push(b'\n');
        let before = self.file.metadata().map(|metadata| metadata.len());
        let written = before.and_then(|before| {
            self.file
                .write_all(&line)
                .and_then(|()| self.file.sync_data())
                .inspect_err(|_| {
                    // The caller is told that the step must not begin: a restart must not read otherwise.
                    let _ = self.file.set_len(before).and_then(|()| self.file.sync_data());
                })
        });
        written.map_err(|source| JournalError::Io {
            path: self.path.clone(),
            source,
        })?;
        self.entries.push(entry);
        Ok(())
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> &[E] {
        &self.entries
    }

    /// Ends the journal: nothing is left to be undone or finished.
    pub fn remove(self) -> Result<(), JournalError> {
        let failed = |source| JournalError::Io {
            path: self.path.clone(),
            source,
        };
        fs::remove_file(&self.path).map_err(failed)?;
        sync_directory(&self.path).map_err(failed)
    }
}

/// The entries, and whether the last line was torn by a crash.
fn parse<E: DeserializeOwned>(path: &Path, text: &[u8]) -> Result<(Vec<E>, bool), JournalError> {
    let torn = !text.is_empty() && !text.ends_with(b"\n");
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let last = lines.pop();
    debug_assert!(
        torn || last.is_none_or(<[u8]>::is_empty),
        "what follows the last newline is the torn line"
    );
    let mut entries = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        match serde_json::from_slice(line) {
            Ok(entry) => entries.push(entry),
            // A line that a crash tore is closed by a newline when the journal is next opened.
            Err(error) if error.is_eof() => {}
            Err(source) => {
                return Err(JournalError::Entry {
                    path: path.to_owned(),
                    line: index + 1,
                    source,
                });
            }
        }
    }
    Ok((entries, torn))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let journals = JournalDir::new(dir.path().to_owned());
        let mut journal = journals.open::<u32>("uid", "source").unwrap();
        journal.append(1).unwrap();
        journal.append(2).unwrap();
        assert_eq!(journals.open::<u32>("uid", "source").unwrap().entries(), [1, 2]);
        assert_eq!(journals.list("source").unwrap(), ["uid"]);
        assert!(journals.list("target").unwrap().is_empty());
    }

    #[test]
    fn a_torn_line_is_a_step_that_never_began() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("uid.source"), b"\"one\"\n\"tw").unwrap();
        let journals = JournalDir::new(dir.path().to_owned());
        let mut journal = journals.open::<String>("uid", "source").unwrap();
        journal.append("three".to_owned()).unwrap();
        drop(journal);
        assert_eq!(
            journals.open::<String>("uid", "source").unwrap().entries(),
            ["one", "three"]
        );
    }

    #[test]
    fn a_line_of_another_kind_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("uid.source"), b"{\"other\":1}\n").unwrap();
        let error = JournalDir::new(dir.path().to_owned())
            .open::<u32>("uid", "source")
            .unwrap_err();
        assert!(matches!(error, JournalError::Entry { line: 1, .. }), "{error}");
    }

    #[test]
    fn a_removed_journal_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let journals = JournalDir::new(dir.path().to_owned());
        let mut journal = journals.open::<u32>("uid", "source").unwrap();
        journal.append(1).unwrap();
        journal.remove().unwrap();
        assert!(journals.list("source").unwrap().is_empty());
    }
}
