//! When carrying ends: nothing uses the address any more, the pod is gone, or the CNI has given the address to somebody else.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use godwit_network::{Error, carry};
use tokio_util::sync::CancellationToken;

use super::{
    calls,
    entry::{Entry, NodeAt},
    keeper::is_gone,
};
use crate::{failure::chain, kube_side::NodePods, node::Node};

/// How often the addresses are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// So many looks in a row must find an address unused. One is chance where connections are short: as long as the old pod is a Service's endpoint, new
/// ones come for the address every moment, and none of them finds a way when it is carried no longer.
const LOOKS: u32 = 4;
/// More unused addresses than these are not waited with: a pod that moves on every few seconds would gather them, for each node begins to count anew,
/// until there are more than one message names.
const FEW: usize = 3;

/// How often in a row each address was found unused.
#[derive(Debug, Default)]
struct Patience(HashMap<Ipv4Addr, u32>);

impl Patience {
    /// What a look says of an address, once it has said so often enough.
    fn with(&mut self, address: Ipv4Addr, seen: Option<End>, are_few: bool) -> Option<End> {
        if seen != Some(End::Unused) || !are_few {
            self.0.remove(&address);
            return seen;
        }
        let looks = self.0.entry(address).or_default();
        *looks += 1;
        (*looks >= LOOKS).then_some(End::Unused)
    }

    /// Forgets what is carried no longer.
    fn only(&mut self, carried: &[Entry]) {
        self.0
            .retain(|address, _| carried.iter().any(|entry| entry.address() == *address));
    }
}

/// Why an address is carried no longer; pure, given what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// No socket of the pod uses it.
    Unused,
    /// The pod that it was carried for, or from, is gone.
    PodGone,
    /// Another pod has been given it.
    NewOwner,
}

/// Looks after the carried addresses of the node until `ended`.
pub async fn keep_watch(node: Arc<Node>, pods: NodePods, ended: CancellationToken) {
    let mut patience = Patience::default();
    loop {
        tokio::select! {
            () = ended.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let mut over = Vec::new();
        let carried = node.carry.all();
        patience.only(&carried);
        let mut seen = Vec::new();
        for entry in carried {
            let end = look(&node, &pods, &entry).await;
            seen.push((entry, end));
        }
        let unused = seen.iter().filter(|(_, end)| *end == Some(End::Unused)).count();
        for (entry, end) in seen {
            if let Some(why) = patience.with(entry.address(), end, unused <= FEW) {
                over.push((entry, why));
            }
        }
        // At once: another node that does not answer must not keep an address from its new owner.
        join_all(over.iter().map(|(entry, why)| end(&node, entry, *why))).await;
    }
}

async fn look(node: &Node, pods: &NodePods, entry: &Entry) -> Option<End> {
    let here = entry.holder == *node.carry.me();
    let owner = pods.owner(IpAddr::V4(entry.address()));
    let had_it = |owner: &String| *owner == entry.pod_uid || Some(owner) == entry.from_pod.as_ref();
    if owner.is_some_and(|owner| !had_it(&owner)) {
        return Some(End::NewOwner);
    }
    if !here && !entry.until_pod_gone {
        return None;
    }
    let in_use = match node.carry.netns_of(entry) {
        Ok(netns) if here => carry::in_use(&netns, entry.address()).await,
        // Whether anything uses the address is for the pod's new node to say.
        Ok(_) => return None,
        Err(error) => Err(error),
    };
    judge(in_use)
}

/// Pure: what follows from a look into the pod's network namespace.
fn judge(in_use: Result<bool, Error>) -> Option<End> {
    match in_use {
        Ok(true) => None,
        Ok(false) => Some(End::Unused),
        Err(error) if is_gone(&error) => Some(End::PodGone),
        Err(error) => {
            tracing::warn!(
                error = chain(&error),
                "whether an address is in use is not known; it stays"
            );
            None
        }
    }
}

async fn end(node: &Arc<Node>, entry: &Entry, why: End) {
    let address = entry.address();
    tracing::info!(%address, ?why, "carrying ends");
    let others: Vec<&NodeAt> = [&entry.home, &entry.holder]
        .into_iter()
        .filter(|other| !entry.until_pod_gone && *other != node.carry.me())
        .collect();
    // The other side first: this side's record is what makes us try again. But a new owner waits for nobody.
    if why != End::NewOwner {
        for other in &others {
            if !told(node, other, entry).await {
                return;
            }
        }
    }
    if let Err(error) = node.carry.end(entry).await {
        tracing::warn!(%address, error = chain(&error), "carrying could not be ended; it is tried again");
        return;
    }
    if why == End::NewOwner {
        for other in others {
            calls::tell_ended_beside(node.clone(), other.clone(), address);
        }
    }
}

async fn told(node: &Arc<Node>, other: &NodeAt, entry: &Entry) -> bool {
    match calls::tell_ended(node, other, entry.address()).await {
        Ok(()) => true,
        Err(failure) => {
            tracing::info!(%failure, other = other.name, "the other node could not be told yet");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn netns(kind: io::ErrorKind) -> Error {
        Error::Netns {
            netns: "pod".to_owned(),
            source: kind.into(),
        }
    }

    #[test]
    fn carrying_ends_when_nothing_uses_the_address_or_the_pod_is_gone() {
        assert_eq!(judge(Ok(true)), None);
        assert_eq!(judge(Ok(false)), Some(End::Unused));
        assert_eq!(judge(Err(netns(io::ErrorKind::NotFound))), Some(End::PodGone));
    }

    #[test]
    fn an_address_is_unused_when_it_stays_so() {
        let mut patience = Patience::default();
        let (one, other) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        for look in 1..LOOKS {
            assert_eq!(patience.with(one, Some(End::Unused), true), None, "{look}");
        }
        assert_eq!(
            patience.with(other, Some(End::Unused), true),
            None,
            "each has its own"
        );
        assert_eq!(patience.with(one, Some(End::Unused), true), Some(End::Unused));
        assert_eq!(patience.with(other, None, true), None, "a connection begins anew");
        for _ in 1..LOOKS {
            assert_eq!(patience.with(other, Some(End::Unused), true), None);
        }
        assert_eq!(
            patience.with(other, Some(End::NewOwner), true),
            Some(End::NewOwner),
            "the rest is certain"
        );
        assert_eq!(
            patience.with(one, Some(End::Unused), false),
            Some(End::Unused),
            "there are too many"
        );
        patience.only(&[]);
        assert!(patience.0.is_empty());
    }

    #[test]
    fn what_is_not_known_ends_nothing() {
        assert_eq!(judge(Err(netns(io::ErrorKind::PermissionDenied))), None);
        assert_eq!(
            judge(Err(Error::Malformed("/proc/thread-self/net/tcp".to_owned()))),
            None
        );
    }
}
