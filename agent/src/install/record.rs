//! What was done to the node, kept so that it can be undone exactly: `/var/lib/godwit/install.json`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::InstallError;
use super::error::FileContext;
use super::files;

/// Name of the record in the state directory.
pub const RECORD: &str = "install.json";

/// The record of an installation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstallRecord {
    /// Form of the record.
    pub version: u32,
    /// True when `/run/godwit` is a mount that Godwit made, because `/run` is not in memory.
    #[serde(default)]
    pub mounted_run: bool,
    /// The change to containerd's configuration; written before the change itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<EntryRecord>,
    /// True from before the change until containerd has been seen to work with it.
    #[serde(default)]
    pub restart_pending: bool,
    /// Hash of a configuration with which containerd did not take the handler; it is not tried twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// One changed configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryRecord {
    /// Path on the host.
    pub path: PathBuf,
    /// What was in it before; absent: the file is Godwit's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
    /// BLAKE3 of what Godwit wrote, hexadecimal: if the file still has it, the original comes back byte by byte.
    pub written: String,
}

impl InstallRecord {
    /// Reads the record of a state directory; none there is an empty one.
    pub fn read(state: &Path) -> Result<Self, InstallError> {
        let path = state.join(RECORD);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|source| InstallError::Record { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self {
                version: 1,
                ..Self::default()
            }),
            Err(error) => Err(error).during("read", &path),
        }
    }

    /// Writes the record, if it differs from what is there.
    pub fn write(&self, state: &Path) -> Result<(), InstallError> {
        let path = state.join(RECORD);
        let mut text = serde_json::to_vec_pretty(self).map_err(|source| InstallError::Record {
            path: path.clone(),
            source,
        })?;
        text.push(b'\n');
        files::write(&path, &text, 0o600).map(drop)
    }
}

/// Hash of a text as the record has it.
pub fn hash_of(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}
