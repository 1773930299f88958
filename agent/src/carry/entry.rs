//! One carried address as it is written down, so that a restarted agent, or a node that was rebooted, knows of it.

use std::{
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use godwit_network::carry::CarryRecord;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::files;

/// Suffix of the files of carried addresses.
const SUFFIX: &str = "json";

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
    /// Not now.
    #[error("a pod is coming to this node that brings {0}; it is carried on")]
    Arrives(Ipv4Addr),
}

impl CarryError {
    /// Stable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Network(error) => error.reason(),
            Self::Record { .. } => "CarryRecordUnusable",
            Self::NoPodAddress => "NoPodAddress",
            Self::NotTheirs { .. } => "NotTheirs",
            Self::Arrives(_) => "Arrives",
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
    /// UID of the pod of this node that had the address before: the CNI still knows it by that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from_pod: Option<String>,
}

impl Entry {
    pub(super) fn address(&self) -> Ipv4Addr {
        self.record.address
    }

    /// Writes it down, so that it is there whole or as it was.
    pub(super) fn save(&self, directory: &Path) -> Result<(), CarryError> {
        files::write(&file(directory, self.address()), self)
    }

    pub(super) fn forget(directory: &Path, address: Ipv4Addr) -> Result<(), CarryError> {
        files::remove(&file(directory, address))
    }

    /// Every address that is written down. A file that cannot be read is left out with a warning: what it stood for is
    /// swept away, which ends connections, but a half-known route would mislead those of others.
    pub(super) fn load_all(directory: &Path) -> Result<Vec<Self>, CarryError> {
        let mut entries = Vec::new();
        for (path, content) in files::read_all(directory, SUFFIX)? {
            match content {
                Ok(entry) => entries.push(entry),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a carried address is forgotten");
                }
            }
        }
        Ok(entries)
    }
}

fn file(directory: &Path, address: Ipv4Addr) -> PathBuf {
    directory.join(format!("{address}.{SUFFIX}"))
}
