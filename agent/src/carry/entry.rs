//! One carried address as it is written down, so that a restarted agent, or a node that was rebooted, knows of it.

use std::{
    fs,
    io::{self, Write},
    net::Ipv4Addr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use godwit_network::carry::CarryRecord;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why an address cannot be carried.
#[derive(Debug, Error)]
pub enum CarryError {
    /// The network.
    #[error(transparent)]
    Network(#[from] godwit_network::Error),
    /// What is written down.
    #[error("the record {} cannot be used", path.display())]
    Record {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The pod has no address of its own yet.
    #[error("the target pod has no IPv4 address of its own")]
    NoPodAddress,
    /// Somebody asks for what is not theirs.
    #[error("{node} does not have {address}, so it cannot say where it goes")]
    NotTheirs {
        /// The node that asked.
        node: String,
        /// The address.
        address: Ipv4Addr,
    },
}

impl CarryError {
    /// Stable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Network(error) => error.reason(),
            Self::Record { .. } => "CarryRecordUnusable",
            Self::NoPodAddress => "NoPodAddress",
            Self::NotTheirs { .. } => "NotTheirs",
        }
    }
}

/// A node and where its agent listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAt {
    /// Its name.
    pub name: String,
    /// Its `InternalIP`.
    pub address: Ipv4Addr,
}

/// One address and this node's part in carrying it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    /// What the network is made to do.
    pub(super) record: CarryRecord,
    /// The node whose CNI gave the address out.
    pub(super) home: NodeAt,
    /// Where the pod is; this node, if it owns the address.
    pub(super) holder: NodeAt,
    /// The pod on this node that has, or had, the address; empty at a home that was only repointed.
    pub(super) pod_uid: String,
    /// Address of that pod's own.
    pub(super) pod_address: Ipv4Addr,
    /// That pod's network namespace, as a path on the node.
    pub(super) netns: PathBuf,
    /// The part ends with that pod.
    pub(super) until_pod_gone: bool,
}

impl Entry {
    pub(super) fn address(&self) -> Ipv4Addr {
        self.record.address
    }

    /// Writes it down, so that it is there whole or as it was.
    pub(super) fn save(&self, directory: &Path) -> Result<(), CarryError> {
        let path = file(directory, self.address());
        let failed = |source| CarryError::Record {
            path: path.clone(),
            source,
        };
        let fresh = path.with_extension("new");
        let text = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        let mut out = fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&fresh)
            .map_err(failed)?;
        // Not synced: this is for a restart of the agent. A power failure ends the pod and its connections too.
        out.write_all(&text).map_err(failed)?;
        fs::rename(&fresh, &path).map_err(failed)
    }

    pub(super) fn forget(directory: &Path, address: Ipv4Addr) -> Result<(), CarryError> {
        let path = file(directory, address);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CarryError::Record {
                path: path.clone(),
                source: error,
            }),
            _ => Ok(()),
        }
    }

    /// Every address that is written down. A file that cannot be read is left out with a warning: what it stood for is
    /// swept away, which ends connections, but a half-known route would mislead those of others.
    pub(super) fn load_all(directory: &Path) -> Result<Vec<Self>, CarryError> {
        let failed = |source| CarryError::Record {
            path: directory.to_owned(),
            source,
        };
        let mut entries = Vec::new();
        for file in fs::read_dir(directory).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                match fs::read(&path)
                    .map_err(serde_json::Error::io)
                    .and_then(|text| serde_json::from_slice(&text))
                {
                    Ok(entry) => entries.push(entry),
                    Err(error) => {
                        tracing::warn!(path = %path.display(), %error, "a carried address is forgotten")
                    }
                }
            }
        }
        Ok(entries)
    }
}

fn file(directory: &Path, address: Ipv4Addr) -> PathBuf {
    directory.join(format!("{address}.json"))
}
