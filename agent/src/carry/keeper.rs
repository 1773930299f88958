//! All carried addresses of a node, and what it does when their pods come and go.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use godwit_container::host::Host;
use godwit_network::{
    Netns,
    carry::{self, CarryRecord},
};

use super::entry::{CarryError, Entry, NodeAt};
use crate::{failure::chain, netns};

/// An address that a pod uses, and its home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The address.
    pub address: Ipv4Addr,
    /// The node whose CNI gave it out.
    pub home: NodeAt,
}

/// A pod that comes to this node.
#[derive(Debug)]
pub struct Newcomer<'a> {
    /// UID of the target pod.
    pub pod_uid: &'a str,
    /// Its network namespace, as a path on the node.
    pub netns: PathBuf,
    /// Its own address.
    pub pod_address: Ipv4Addr,
    /// Address of the node that it comes from.
    pub from: Ipv4Addr,
    /// Addresses that it brings.
    pub addresses: &'a [Carried],
}

/// A pod that leaves this node, with its addresses; found out before the freeze, so that the flip is short.
#[derive(Clone, Debug)]
pub struct HandOver {
    entries: Vec<Entry>,
}

/// A pod that came here, until its addresses are routed to it.
#[derive(Clone, Debug)]
struct Arrival {
    entries: Vec<Entry>,
    netns: PathBuf,
}

/// Every address that this node has a part in.
pub struct CarryKeeper {
    me: NodeAt,
    host: Host,
    network: Netns,
    directory: PathBuf,
    entries: Mutex<BTreeMap<Ipv4Addr, Entry>>,
    arrivals: Mutex<BTreeMap<String, Arrival>>,
}

impl CarryKeeper {
    /// Reads what is written down in `directory` (which exists), does it again, and sweeps away what is not written down.
    pub async fn start(me: NodeAt, host: Host, directory: PathBuf) -> Result<Self, CarryError> {
        let network = Netns::current()?;
        let loaded = Entry::load_all(&directory)?;
        let records: Vec<CarryRecord> = loaded.iter().map(|entry| entry.record.clone()).collect();
        carry::sweep(&network, &records).await?;
        let mut entries = BTreeMap::new();
        for entry in loaded {
            if let Err(error) = carry::apply(&network, &entry.record).await {
                tracing::warn!(address = %entry.address(), error = chain(&error), "not carried any more");
            }
            entries.insert(entry.address(), entry);
        }
        Ok(Self {
            me,
            host,
            network,
            directory,
            entries: Mutex::new(entries),
            arrivals: Mutex::default(),
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

    /// Gives a pod that is coming here its addresses, and prepares how they will be routed to it. Nothing reaches it yet.
    pub async fn prepare(&self, newcomer: Newcomer<'_>) -> Result<(), CarryError> {
        let Newcomer {
            pod_uid,
            netns,
            pod_address,
            from,
            addresses,
        } = newcomer;
        let pod = netns::open(&self.host, &netns)?;
        let mut entries = Vec::new();
        for Carried { address, home } in addresses {
            carry::add_address(&pod, pod_address, *address).await?;
            let return_by = (*home != self.me).then_some(home.address);
            let record = carry::survey_own(&self.network, *address, pod_address, from, return_by).await?;
            carry::prepare(&self.network, &record).await?;
            entries.push(Entry {
                record,
                home: home.clone(),
                holder: self.me.clone(),
                pod_uid: pod_uid.to_owned(),
                pod_address,
                netns: netns.clone(),
                until_pod_gone: false,
            });
        }
        self.arrivals()
            .insert(pod_uid.to_owned(), Arrival { entries, netns });
        Ok(())
    }

    /// The pod runs: its addresses are routed to it. Gives those for which that worked.
    pub async fn activate(&self, pod_uid: &str) -> Vec<String> {
        let arrival = self.arrivals().remove(pod_uid);
        let Some(arrival) = arrival else {
            return self.addresses_of(pod_uid);
        };
        let mut carried = Vec::new();
        for entry in arrival.entries {
            let address = entry.address();
            match self.own(&arrival.netns, entry).await {
                Ok(()) => carried.push(address.to_string()),
                Err(error) => {
                    tracing::warn!(%address, error = chain(&error), "connections to this address are lost");
                }
            }
        }
        carried
    }

    async fn own(&self, netns: &std::path::Path, entry: Entry) -> Result<(), CarryError> {
        let (address, pod_address, at_home) = (entry.address(), entry.pod_address, entry.home == self.me);
        self.flip(entry).await?;
        if at_home {
            let pod = netns::open(&self.host, netns)?;
            carry::take_over_home(&pod, pod_address, address).await?;
        }
        Ok(())
    }

    /// The pod will never run here: its addresses go with its network namespace.
    pub async fn abandon(&self, pod_uid: &str) {
        let arrival = self.arrivals().remove(pod_uid);
        self.cancel(arrival.map(|arrival| arrival.entries).unwrap_or_default())
            .await;
    }

    /// The pod will not leave this node after all.
    pub async fn keep(&self, hand_over: HandOver) {
        self.cancel(hand_over.entries).await;
    }

    async fn cancel(&self, entries: Vec<Entry>) {
        for entry in entries {
            if let Err(error) = carry::cancel(&self.network, &entry.record).await {
                tracing::warn!(address = %entry.address(), error = chain(&error), "what was prepared for it stays until the next start");
            }
        }
    }

    /// Prepares how the addresses of a pod would be sent after it. Changes nothing for anybody yet.
    pub async fn survey(
        &self,
        pod_uid: &str,
        netns: PathBuf,
        pod_address: Ipv4Addr,
        addresses: &[Carried],
        target: &NodeAt,
    ) -> Result<HandOver, CarryError> {
        let pod = netns::open(&self.host, &netns)?;
        let mut entries = Vec::new();
        for Carried { address, home } in addresses {
            let at_home = *home == self.me;
            let record = carry::survey_forward(
                &self.network,
                &pod,
                pod_address,
                *address,
                target.address,
                at_home,
            )
            .await?;
            carry::prepare(&self.network, &record).await?;
            entries.push(Entry {
                record,
                home: home.clone(),
                holder: target.clone(),
                pod_uid: pod_uid.to_owned(),
                pod_address,
                netns: netns.clone(),
                until_pod_gone: !at_home,
            });
        }
        Ok(HandOver { entries })
    }

    /// Sends the addresses after the pod, and lets its old network namespace forward what still arrives there. Gives the
    /// moves of which their homes are still to be told.
    pub async fn hand_over(
        &self,
        hand_over: HandOver,
        carried: &[String],
    ) -> Vec<(NodeAt, Ipv4Addr, NodeAt)> {
        let mut to_tell = Vec::new();
        let mut forwarding = None;
        for entry in hand_over.entries {
            let address = entry.address();
            if !carried.contains(&address.to_string()) {
                continue;
            }
            if entry.home != self.me && entry.home != entry.holder {
                to_tell.push((entry.home.clone(), address, entry.holder.clone()));
            }
            forwarding.get_or_insert_with(|| (entry.netns.clone(), entry.pod_address));
            if let Err(error) = self.flip(entry).await {
                tracing::warn!(%address, error = chain(&error), "connections to this address are lost");
            }
        }
        if let Some((netns, pod_address)) = forwarding {
            let started = match netns::open(&self.host, &netns) {
                Ok(pod) => carry::start_forwarding(&pod, pod_address).await,
                Err(error) => Err(error),
            };
            if let Err(error) = started {
                tracing::warn!(
                    error = chain(&error),
                    "packets that were held are lost; their senders will repeat them"
                );
            }
        }
        to_tell
    }

    /// The pod of an address whose home is here has moved on, says the node that had it.
    pub async fn moved_on(&self, by: &str, address: Ipv4Addr, holder: NodeAt) -> Result<(), CarryError> {
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

    /// Ends this node's part, whatever it is.
    pub async fn end(&self, address: Ipv4Addr) -> Result<(), CarryError> {
        let entry = self.entries().get(&address).cloned();
        let Some(entry) = entry else { return Ok(()) };
        if entry.holder == self.me
            && let Ok(pod) = netns::open(&self.host, &entry.netns)
        {
            carry::remove_address(&pod, entry.pod_address, address).await?;
        }
        carry::end(&self.network, &entry.record).await?;
        Entry::forget(&self.directory, address)?;
        self.entries().remove(&address);
        tracing::info!(%address, "no longer carried");
        Ok(())
    }

    /// Ends this node's part because another node, which must have a part in it too, says so.
    pub async fn end_for(&self, by: &str, address: Ipv4Addr) -> Result<(), CarryError> {
        let theirs = self
            .entries()
            .get(&address)
            .is_none_or(|entry| entry.home.name == by || entry.holder.name == by);
        if theirs {
            self.end(address).await
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

    pub(super) fn netns_of(&self, entry: &Entry) -> Option<Netns> {
        netns::open(&self.host, &entry.netns).ok()
    }

    /// Writes it down, then does at once what was prepared; the rest follows beside other work.
    async fn flip(&self, entry: Entry) -> Result<(), CarryError> {
        entry.save(&self.directory)?;
        let (address, record, network) = (entry.address(), entry.record.clone(), self.network.clone());
        self.entries().insert(address, entry);
        carry::flip(&network, &record).await?;
        tokio::spawn(async move {
            if let Err(error) = carry::settle(&network, &record).await {
                tracing::warn!(%address, error = chain(&error), "neighbours may ask the old pod for a while");
            }
        });
        Ok(())
    }

    /// Writes it down, then does it.
    async fn put(&self, entry: Entry) -> Result<(), CarryError> {
        entry.save(&self.directory)?;
        let record = entry.record.clone();
        self.entries().insert(entry.address(), entry);
        Ok(carry::apply(&self.network, &record).await?)
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<Ipv4Addr, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrivals(&self) -> MutexGuard<'_, BTreeMap<String, Arrival>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
