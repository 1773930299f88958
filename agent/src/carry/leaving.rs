//! Sending addresses after a pod that leaves this node.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::future::join_all;
use godwit_network::{Netns, carry};

use super::{
    entry::{CarryError, Entry, NodeAt},
    keeper::{Carried, CarryKeeper},
};
use crate::{failure::chain, netns};

/// A pod that leaves this node, with its addresses; found out before the freeze, so that the flip is short.
#[derive(Clone, Debug)]
pub struct HandOver {
    pod_uid: String,
    netns: PathBuf,
    pod_address: Ipv4Addr,
    /// What this node will do; nothing if the pod goes to another one of this node, which then owns the addresses.
    entries: Vec<Entry>,
}

/// A pod that would leave this node.
#[derive(Clone, Debug)]
pub struct Leaver {
    /// Its UID.
    pub pod_uid: String,
    /// Its network namespace, as a path on the node.
    pub netns: PathBuf,
    /// Its own address.
    pub pod_address: Ipv4Addr,
    /// Every address that it uses.
    pub addresses: Vec<Carried>,
    /// Where it would go.
    pub target: NodeAt,
}

impl CarryKeeper {
    /// Prepares how the addresses of a pod would be sent after it. Changes nothing for anybody yet. Done to its end also if what is given is dropped;
    /// [`Self::keep`] waits for that. [`Self::surveyed`] has what was found.
    pub async fn survey(self: &Arc<Self>, leaver: Leaver) -> Result<(), CarryError> {
        let keeper = self.clone();
        self.undisturbed
            .run(async move { keeper.survey_all(&leaver).await })
            .await
    }

    /// What was surveyed of a pod, until it has left or stays; nothing after a restart of the agent.
    pub fn surveyed(&self, pod_uid: &str) -> Option<HandOver> {
        self.departures().get(pod_uid).cloned()
    }

    async fn survey_all(&self, leaver: &Leaver) -> Result<(), CarryError> {
        let pod = netns::open(&self.host, &leaver.netns)?;
        let mut entries = Vec::new();
        match self.survey_each(leaver, &pod, &mut entries).await {
            Ok(()) => {
                let hand_over = HandOver {
                    pod_uid: leaver.pod_uid.clone(),
                    netns: leaver.netns.clone(),
                    pod_address: leaver.pod_address,
                    entries,
                };
                self.departures().insert(leaver.pod_uid.clone(), hand_over);
                Ok(())
            }
            Err(error) => {
                self.cancel(entries).await;
                Err(error)
            }
        }
    }

    async fn survey_each(
        &self,
        leaver: &Leaver,
        pod: &Netns,
        entries: &mut Vec<Entry>,
    ) -> Result<(), CarryError> {
        let Leaver {
            pod_uid,
            netns,
            pod_address,
            addresses,
            target,
        } = leaver;
        if *target == self.me {
            return Ok(());
        }
        for Carried { address, home } in addresses {
            let at_home = *home == self.me;
            let record = carry::survey_forward(
                &self.network,
                pod,
                *pod_address,
                *address,
                target.address,
                at_home,
            )
            .await?;
            entries.push(Entry {
                record: record.clone(),
                home: home.clone(),
                holder: target.clone(),
                pod_uid: pod_uid.clone(),
                pod_address: *pod_address,
                netns: netns.clone(),
                until_pod_gone: !at_home,
                from_pod: None,
            });
            carry::prepare(&self.network, &record).await?;
        }
        Ok(())
    }

    /// The old network namespace will pass on what still arrives there. For a pod that will never run there again; nothing may reach the namespace until
    /// [`Self::hand_over`], so it takes no time from anybody meanwhile.
    pub async fn forward(&self, hand_over: &HandOver) {
        let started = match netns::open(&self.host, &hand_over.netns) {
            Ok(pod) => carry::start_forwarding(&pod, hand_over.pod_address).await,
            Err(error) => Err(error),
        };
        if let Err(error) = started {
            tracing::warn!(
                error = chain(&error),
                "packets that were held are lost; their senders will repeat them"
            );
        }
    }

    /// Sends the addresses after the pod, whose old network namespace forwards by now. Gives the moves of which their homes are still to be told.
    pub async fn hand_over(
        &self,
        hand_over: HandOver,
        carried: &[String],
    ) -> Vec<(NodeAt, Ipv4Addr, NodeAt)> {
        self.departures().remove(&hand_over.pod_uid);
        let (taken, not_taken): (Vec<Entry>, Vec<Entry>) = hand_over
            .entries
            .into_iter()
            .partition(|entry| carried.contains(&entry.address().to_string()));
        let to_tell = taken
            .iter()
            .filter(|entry| entry.home != self.me && entry.home != entry.holder)
            .map(|entry| (entry.home.clone(), entry.address(), entry.holder.clone()))
            .collect();
        let flips = join_all(taken.into_iter().map(|entry| async {
            let address = entry.address();
            if let Err(error) = self.flip(entry).await {
                tracing::warn!(%address, error = chain(&error), "connections to this address are lost");
            }
        }));
        // All at once: the held packets wait for them.
        flips.await;
        if carried.is_empty() {
            self.unforward(&hand_over.netns, hand_over.pod_address).await;
        }
        self.cancel(not_taken).await;
        to_tell
    }

    /// The target takes no address: what the old network namespace forwarded would come back to it for ever.
    async fn unforward(&self, netns: &Path, pod_address: Ipv4Addr) {
        let stopped = match netns::open(&self.host, netns) {
            Ok(pod) => carry::stop_forwarding(&pod, pod_address).await,
            Err(error) => Err(error),
        };
        if let Err(error) = stopped {
            tracing::warn!(
                error = chain(&error),
                "packets for the old pod may go in circles until it is removed"
            );
        }
    }

    /// The pod will not leave this node after all, whether or not the survey came to its end.
    pub async fn keep(&self, pod_uid: &str) {
        self.undisturbed.settled().await;
        let departure = self.departures().remove(pod_uid);
        self.cancel(departure.map(|departure| departure.entries).unwrap_or_default())
            .await;
    }
}
