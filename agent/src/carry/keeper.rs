//! All carried addresses of a node, and what it does for them.

use std::{
    collections::BTreeMap,
    io,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use godwit_container::host::Host;
use godwit_network::{
    Error, Netns,
    carry::{self, CarryRecord},
};
use nix::errno::Errno;

use super::{
    arrival::Arrival,
    entry::{CarryError, Entry, NodeAt},
    files,
    leaving::HandOver,
    turns::Turns,
};
use crate::{failure::chain, netns, undisturbed::Undisturbed};

/// An address that a pod uses, and its home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The address.
    pub address: Ipv4Addr,
    /// The node whose CNI gave it out.
    pub home: NodeAt,
}

/// Every address that this node has a part in.
pub struct CarryKeeper {
    pub(super) me: NodeAt,
    pub(super) host: Host,
    pub(super) network: Netns,
    pub(super) directory: PathBuf,
    entries: Mutex<BTreeMap<Ipv4Addr, Entry>>,
    arrivals: Mutex<BTreeMap<String, Arrival>>,
    pub(super) departures: Mutex<BTreeMap<String, HandOver>>,
    pub(super) turns: Turns,
    pub(super) undisturbed: Undisturbed,
}

impl CarryKeeper {
    /// Reads what is written down in `directory` (which exists), does it again, and sweeps away what is not written down.
    pub async fn start(me: NodeAt, host: Host, directory: PathBuf) -> Result<Self, CarryError> {
        let network = Netns::current()?;
        files::remove_unfinished(&directory)?;
        let loaded = Entry::load_all(&directory)?;
        let mut arrivals = Vec::new();
        for arrival in Arrival::load_all(&directory)? {
            match netns::open(&host, &arrival.netns) {
                Err(error) if is_gone(&error) => {
                    tracing::info!(pod_uid = arrival.pod_uid, "the pod that was coming here is gone");
                    Arrival::forget(&directory, &arrival.pod_uid)?;
                }
                _ => arrivals.push(arrival),
            }
        }
        let arriving: Vec<Entry> = arrivals
            .iter()
            .flat_map(|arrival| arrival.entries.clone())
            .collect();
        let records: Vec<CarryRecord> = loaded
            .iter()
            .chain(&arriving)
            .map(|entry| entry.record.clone())
            .collect();
        carry::sweep(&network, &records).await?;
        let mut entries = BTreeMap::new();
        for entry in loaded {
            if let Err(error) = carry::apply(&network, &entry.record).await {
                tracing::warn!(address = %entry.address(), error = chain(&error), "not carried any more");
            }
            entries.insert(entry.address(), entry);
        }
        // After the others: an address that comes home is still sent away by one of them, which clears other parts.
        for entry in arriving {
            if let Err(error) = carry::prepare(&network, &entry.record).await {
                tracing::warn!(address = %entry.address(), error = chain(&error), "not prepared any more");
            }
        }
        let arrivals = arrivals
            .into_iter()
            .map(|arrival| (arrival.pod_uid.clone(), arrival))
            .collect();
        Ok(Self {
            me,
            host,
            network,
            directory,
            entries: Mutex::new(entries),
            arrivals: Mutex::new(arrivals),
            departures: Mutex::default(),
            turns: Turns::default(),
            undisturbed: Undisturbed::default(),
        })
    }

    /// This node.
    pub fn me(&self) -> &NodeAt {
        &self.me
    }

    /// The addresses, with their homes, that a pod on this node has from moves before.
    pub fn carried_by(&self, pod_uid: &str) -> Vec<Carried> {
        let of_pod = |entry: &&Entry| entry.pod_uid == pod_uid && entry.holder == self.me;
        let entries = self.entries();
        entries
            .values()
            .filter(of_pod)
            .map(|entry| Carried {
                address: entry.address(),
                home: entry.home.clone(),
            })
            .collect()
    }

    /// The same as text.
    pub fn addresses_of(&self, pod_uid: &str) -> Vec<String> {
        self.carried_by(pod_uid)
            .into_iter()
            .map(|carried| carried.address.to_string())
            .collect()
    }

    pub(super) async fn cancel(&self, entries: Vec<Entry>) {
        for entry in entries {
            // A pod that comes from one of this node has the same rules, and that one stays.
            let stays = self.entries().get(&entry.address()).cloned();
            let cancelled = match stays {
                Some(stays) if entry.holder == self.me && stays.holder == self.me => {
                    carry::prepare(&self.network, &stays.record).await
                }
                _ => carry::cancel(&self.network, &entry.record).await,
            };
            if let Err(error) = cancelled {
                tracing::warn!(address = %entry.address(), error = chain(&error), "what was prepared for it stays until the next start");
            }
        }
    }

    /// The pod of an address whose home is here has moved on, says the node that had it.
    pub async fn moved_on(&self, by: &str, address: Ipv4Addr, holder: NodeAt) -> Result<(), CarryError> {
        let _turn = self.turns.of(address).await;
        let entry = self.entries().get(&address).cloned();
        let Some(entry) = entry.filter(|entry| entry.holder.name == by || entry.holder == holder) else {
            return Err(CarryError::NotTheirs {
                node: by.to_owned(),
                address,
            });
        };
        let record = entry.record.repoint(&self.network, holder.address).await?;
        self.put(Entry {
            record,
            holder,
            ..entry
        })
        .await
    }

    /// Ends the part that was looked at, unless there is another one by now, or a pod is coming that brings the address.
    pub(super) async fn end(&self, looked_at: &Entry) -> Result<(), CarryError> {
        let address = looked_at.address();
        let _turn = self.turns.of(address).await;
        let same = self.entries().get(&address) == Some(looked_at);
        if same && !self.arrives(address) {
            return self.end_now(looked_at).await;
        }
        tracing::info!(%address, "carrying goes on: the pod that has the address is another one by now");
        Ok(())
    }

    /// Whether a pod is coming to this node that brings the address.
    fn arrives(&self, address: Ipv4Addr) -> bool {
        let arrivals = self.arrivals();
        let mut entries = arrivals.values().flat_map(|arrival| &arrival.entries);
        entries.any(|entry| entry.address() == address)
    }

    /// To be called by whoever has the address's turn.
    async fn end_now(&self, entry: &Entry) -> Result<(), CarryError> {
        let address = entry.address();
        if entry.holder == self.me
            && let Ok(pod) = netns::open(&self.host, &entry.netns)
        {
            match carry::remove_address(&pod, entry.pod_address, address).await {
                // Without its namespace, or its interface, the pod does not have the address any more.
                Err(error) if !is_gone(&error) && !matches!(error, Error::Missing(_)) => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
        carry::end(&self.network, &entry.record).await?;
        Entry::forget(&self.directory, address)?;
        self.entries().remove(&address);
        tracing::info!(%address, "no longer carried");
        Ok(())
    }

    /// Ends this node's part because another node, which must have a part in it too, says so.
    pub async fn end_for(&self, by: &str, address: Ipv4Addr) -> Result<(), CarryError> {
        let _turn = self.turns.of(address).await;
        if self.arrives(address) {
            return Err(CarryError::Arrives(address));
        }
        let entry = self.entries().get(&address).cloned();
        let Some(entry) = entry else { return Ok(()) };
        if entry.home.name == by || entry.holder.name == by {
            self.end_now(&entry).await
        } else {
            Err(CarryError::NotTheirs {
                node: by.to_owned(),
                address,
            })
        }
    }

    pub(super) fn all(&self) -> Vec<Entry> {
        self.entries().values().cloned().collect()
    }

    /// Whether this node has a part in carrying an address.
    pub(super) fn has(&self, address: Ipv4Addr) -> bool {
        self.entries().contains_key(&address)
    }

    pub(super) fn netns_of(&self, entry: &Entry) -> Result<Netns, Error> {
        netns::open(&self.host, &entry.netns)
    }

    /// Writes it down, then does at once what was prepared; the rest follows beside other work.
    pub(super) async fn flip(&self, entry: Entry) -> Result<(), CarryError> {
        let _turn = self.turns.of(entry.address()).await;
        let began = Instant::now();
        entry.save(&self.directory)?;
        let (address, record, network) = (entry.address(), entry.record.clone(), self.network.clone());
        self.entries().insert(address, entry);
        let saved = began.elapsed();
        carry::flip(&network, &record).await?;
        tracing::info!(%address, ?saved, flipped = ?began.elapsed().saturating_sub(saved), "the address goes another way");
        tokio::spawn(async move {
            if let Err(error) = carry::settle(&network, &record).await {
                tracing::warn!(%address, error = chain(&error), "neighbours may ask the old pod for a while");
            }
        });
        Ok(())
    }

    /// Writes it down, then does it. To be called by whoever has the address's turn.
    async fn put(&self, entry: Entry) -> Result<(), CarryError> {
        entry.save(&self.directory)?;
        let record = entry.record.clone();
        self.entries().insert(entry.address(), entry);
        Ok(carry::apply(&self.network, &record).await?)
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<Ipv4Addr, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn departures(&self) -> MutexGuard<'_, BTreeMap<String, HandOver>> {
        self.departures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arrivals(&self) -> MutexGuard<'_, BTreeMap<String, Arrival>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a network namespace is gone, and not just out of reach: nothing is at its path, or a file that it left there,
/// which setns(2) refuses with `EINVAL`.
pub(super) fn is_gone(error: &Error) -> bool {
    let Error::Netns { source, .. } = error else {
        return false;
    };
    source.kind() == io::ErrorKind::NotFound || source.raw_os_error() == Some(Errno::EINVAL as i32)
}

#[cfg(test)]
mod tests;
