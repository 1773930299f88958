//! A pod that comes to this node with its addresses.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::future::join_all;
use godwit_network::carry::{self, Origin};

use super::{
    arrival::Arrival,
    entry::{CarryError, Entry},
    keeper::{Carried, CarryKeeper},
};
use crate::{failure::chain, netns};

/// Where a pod comes from.
#[derive(Clone, Debug)]
pub enum Whence {
    /// The node with this address.
    Node(Ipv4Addr),
    /// Another pod of the same node.
    Pod {
        /// Its UID.
        uid: String,
        /// Its network namespace, as a path on the node.
        netns: PathBuf,
        /// Its own address.
        address: Ipv4Addr,
    },
}

/// A pod that comes to this node.
#[derive(Debug)]
pub struct Newcomer {
    /// UID of the target pod.
    pub pod_uid: String,
    /// Its network namespace, as a path on the node.
    pub netns: PathBuf,
    /// Its own address.
    pub pod_address: Ipv4Addr,
    /// Where it comes from.
    pub from: Whence,
    /// Addresses that it brings.
    pub addresses: Vec<Carried>,
}

impl CarryKeeper {
    /// Gives a pod that is coming here its addresses, and prepares how they will be routed to it. Nothing reaches it yet. Done to its end also
    /// if what is given is dropped; [`Self::abandon`] waits for that.
    pub async fn prepare(self: &Arc<Self>, newcomer: Newcomer) -> Result<(), CarryError> {
        let keeper = self.clone();
        self.undisturbed
            .run(async move { keeper.prepare_all(newcomer).await })
            .await
    }

    async fn prepare_all(&self, newcomer: Newcomer) -> Result<(), CarryError> {
        let (pod_uid, netns) = (newcomer.pod_uid.clone(), newcomer.netns.clone());
        let mut entries = Vec::new();
        // Until the arrival is known, for which ends wait.
        let turns = self
            .turns
            .of_all(newcomer.addresses.iter().map(|carried| carried.address))
            .await;
        if let Err(error) = self.prepare_each(newcomer, &mut entries).await {
            drop(turns);
            self.cancel(entries).await;
            return Err(error);
        }
        let arrival = Arrival {
            pod_uid,
            netns,
            entries,
        };
        if !arrival.entries.is_empty()
            && let Err(error) = arrival.save(&self.directory)
        {
            self.cancel(arrival.entries).await;
            return Err(error);
        }
        self.arrivals().insert(arrival.pod_uid.clone(), arrival);
        Ok(())
    }

    async fn prepare_each(&self, newcomer: Newcomer, entries: &mut Vec<Entry>) -> Result<(), CarryError> {
        let Newcomer {
            pod_uid,
            netns,
            pod_address,
            from,
            addresses,
        } = newcomer;
        let pod = netns::open(&self.host, &netns)?;
        let (origin, from_pod) = match from {
            Whence::Node(address) => (Origin::Node(address), None),
            Whence::Pod { uid, netns, address } => {
                (Origin::Pod(netns::open(&self.host, &netns)?, address), Some(uid))
            }
        };
        for Carried { address, home } in addresses {
            carry::add_address(&pod, pod_address, address).await?;
            let return_by = (home != self.me).then_some(home.address);
            let record =
                carry::survey_own(&self.network, address, pod_address, origin.clone(), return_by).await?;
            entries.push(Entry {
                record: record.clone(),
                home,
                holder: self.me.clone(),
                pod_uid: pod_uid.clone(),
                pod_address,
                netns: netns.clone(),
                until_pod_gone: false,
                from_pod: from_pod.clone(),
            });
            carry::prepare(&self.network, &record).await?;
        }
        Ok(())
    }

    /// The pod runs: its addresses are routed to it. Gives those for which that worked. May be repeated after a restart.
    pub async fn activate(&self, pod_uid: &str) -> Vec<String> {
        let arrival = self.arrivals().get(pod_uid).cloned();
        let Some(arrival) = arrival else {
            return self.addresses_of(pod_uid);
        };
        // All at once: the pod waits for them.
        let addresses: Vec<Ipv4Addr> = arrival.entries.iter().map(Entry::address).collect();
        let owning = arrival
            .entries
            .into_iter()
            .map(|entry| self.own(&arrival.netns, entry));
        let mut carried = Vec::new();
        for (address, owned) in addresses.into_iter().zip(join_all(owning).await) {
            match owned {
                Ok(()) => carried.push(address.to_string()),
                Err(error) => {
                    tracing::warn!(%address, error = chain(&error), "connections to this address are lost");
                }
            }
        }
        // Last: until then a restarted agent does all of it again, and nothing that is prepared for it ends.
        self.arrivals().remove(pod_uid);
        self.forget_arrival(pod_uid);
        carried
    }

    fn forget_arrival(&self, pod_uid: &str) {
        if let Err(error) = Arrival::forget(&self.directory, pod_uid) {
            tracing::warn!(
                pod_uid,
                error = chain(&error),
                "the record of an arrival stays until the pod is gone"
            );
        }
    }

    async fn own(&self, netns: &Path, entry: Entry) -> Result<(), CarryError> {
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
        self.undisturbed.settled().await;
        let arrival = self.arrivals().remove(pod_uid);
        self.cancel(arrival.map(|arrival| arrival.entries).unwrap_or_default())
            .await;
        self.forget_arrival(pod_uid);
    }
}
