//! What the pods of this node mean to the agent: whose an address is, and whose parking has to end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use godwit_crds::{COMPLETED_ANNOTATION, PARK_PREFIX};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::Event;

/// A change to the pods of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodEvent {
    /// The CNI gave the address to a pod; sent also when another pod had it before.
    AddressTaken {
        /// Address.
        address: IpAddr,
        /// UID of the pod that has it now.
        pod_uid: String,
    },
    /// No pod of this node has the address any more.
    AddressFreed {
        /// Address.
        address: IpAddr,
    },
    /// The pod's migration was completed long ago, yet its parking container runs (again): it has to end. Sent for every
    /// change of the pod as long as that is so.
    EndParking {
        /// UID of the pod.
        pod_uid: String,
        /// Name of the running parking container.
        container: String,
    },
    /// Everything that is there has been sent.
    Synced,
}

/// One pod, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Facts {
    addresses: BTreeSet<IpAddr>,
    parking: Option<String>,
}

/// All pods of the node.
#[derive(Debug, Default)]
pub struct PodsState {
    pods: BTreeMap<String, Facts>,
    owners: BTreeMap<IpAddr, String>,
    listed: Option<BTreeSet<String>>,
    synced: bool,
}

impl PodsState {
    /// Takes an event of the watch and says what it means.
    pub fn take(&mut self, event: Event<Pod>) -> Vec<PodEvent> {
        match event {
            Event::Init => {
                self.listed = Some(BTreeSet::new());
                Vec::new()
            }
            Event::InitApply(pod) | Event::Apply(pod) => self.apply(&pod),
            Event::Delete(pod) => self.set(&pod.metadata.uid.unwrap_or_default(), None),
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                let gone: Vec<_> = self
                    .pods
                    .keys()
                    .filter(|uid| !listed.contains(*uid))
                    .cloned()
                    .collect();
                let mut events: Vec<_> = gone.into_iter().flat_map(|uid| self.set(&uid, None)).collect();
                if !self.synced {
                    self.synced = true;
                    events.push(PodEvent::Synced);
                }
                events
            }
        }
    }

    /// The events that bring a new listener to the state as it is.
    pub fn replay(&self) -> Vec<PodEvent> {
        let taken = self.owners.iter();
        let mut events: Vec<_> = taken
            .map(|(address, pod_uid)| PodEvent::AddressTaken {
                address: *address,
                pod_uid: pod_uid.clone(),
            })
            .collect();
        events.extend(
            self.pods
                .iter()
                .filter_map(|(uid, facts)| end_parking(uid, facts)),
        );
        if self.synced {
            events.push(PodEvent::Synced);
        }
        events
    }

    /// UID of the pod of this node that has the address.
    pub fn owner(&self, address: IpAddr) -> Option<&str> {
        self.owners.get(&address).map(String::as_str)
    }

    fn apply(&mut self, pod: &Pod) -> Vec<PodEvent> {
        let Some(uid) = pod.metadata.uid.clone() else {
            return Vec::new();
        };
        if let Some(listed) = &mut self.listed {
            listed.insert(uid.clone());
        }
        self.set(&uid, Some(facts_of(pod)))
    }

    fn set(&mut self, uid: &str, facts: Option<Facts>) -> Vec<PodEvent> {
        let now = facts.clone().unwrap_or_default();
        let before = match facts {
            Some(facts) => self.pods.insert(uid.to_owned(), facts),
            None => self.pods.remove(uid),
        }
        .unwrap_or_default();
        let mut events = Vec::new();
        for address in before.addresses.difference(&now.addresses) {
            // Only if nobody else has got it since.
            if self.owner(*address) == Some(uid) {
                self.owners.remove(address);
                events.push(PodEvent::AddressFreed { address: *address });
            }
        }
        for address in now.addresses.difference(&before.addresses) {
            self.owners.insert(*address, uid.to_owned());
            events.push(PodEvent::AddressTaken {
                address: *address,
                pod_uid: uid.to_owned(),
            });
        }
        events.extend(end_parking(uid, &now));
        events
    }
}

fn end_parking(uid: &str, facts: &Facts) -> Option<PodEvent> {
    let container = facts.parking.clone()?;
    Some(PodEvent::EndParking {
        pod_uid: uid.to_owned(),
        container,
    })
}

fn facts_of(pod: &Pod) -> Facts {
    let Some(status) = &pod.status else {
        return Facts::default();
    };
    let host_network = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.host_network)
        .unwrap_or_default();
    // A pod that has ended keeps its status, but the CNI has its address back.
    let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let addresses = if host_network || ended {
        BTreeSet::new()
    } else {
        let listed = status.pod_ips.iter().flatten().map(|address| address.ip.as_str());
        listed
            .chain(status.pod_ip.as_deref())
            .filter_map(|address| address.parse().ok())
            .collect()
    };
    let completed = pod
        .metadata
        .annotations
        .as_ref()
        .is_some_and(|all| all.contains_key(COMPLETED_ANNOTATION));
    let mut running = status
        .init_container_statuses
        .iter()
        .flatten()
        .filter(|container| {
            container.name.starts_with(PARK_PREFIX)
                && container
                    .state
                    .as_ref()
                    .is_some_and(|state| state.running.is_some())
        });
    let parking = if completed {
        running.next().map(|container| container.name.clone())
    } else {
        None
    };
    Facts { addresses, parking }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, address: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"uid": uid, "name": uid},
            "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
        }))
        .unwrap()
    }

    fn taken(address: &str, uid: &str) -> PodEvent {
        PodEvent::AddressTaken {
            address: address.parse().unwrap(),
            pod_uid: uid.to_owned(),
        }
    }

    #[test]
    fn the_new_owner_of_an_address_wins() {
        let mut state = PodsState::default();
        assert_eq!(
            state.take(Event::Apply(pod("a", "10.1.0.5"))),
            [taken("10.1.0.5", "a")]
        );
        assert!(state.take(Event::Apply(pod("a", "10.1.0.5"))).is_empty());
        assert_eq!(
            state.take(Event::Apply(pod("b", "10.1.0.5"))),
            [taken("10.1.0.5", "b")]
        );
        // The late end of the old one frees nothing.
        assert!(state.take(Event::Delete(pod("a", "10.1.0.5"))).is_empty());
        assert_eq!(state.owner("10.1.0.5".parse().unwrap()), Some("b"));
        let freed = PodEvent::AddressFreed {
            address: "10.1.0.5".parse().unwrap(),
        };
        assert_eq!(state.take(Event::Delete(pod("b", "10.1.0.5"))), [freed]);
    }

    #[test]
    fn ended_and_host_network_pods_have_no_address_of_their_own() {
        let mut state = PodsState::default();
        let mut ended = pod("a", "10.1.0.5");
        ended.status.as_mut().unwrap().phase = Some("Succeeded".to_owned());
        assert!(state.take(Event::Apply(ended)).is_empty());
        let mut host: Pod = pod("b", "192.168.0.2");
        host.spec = serde_json::from_value(json!({"hostNetwork": true, "containers": []})).unwrap();
        assert!(state.take(Event::Apply(host)).is_empty());
    }

    #[test]
    fn parking_ends_only_for_completed_pods_whose_parking_runs() {
        let parked = |annotations: serde_json::Value, state: serde_json::Value| -> Pod {
            serde_json::from_value(json!({
                "metadata": {"uid": "p", "annotations": annotations},
                "status": {"initContainerStatuses": [
                    {"name": "godwit-park-0", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                     "state": {"terminated": {"exitCode": 0}}},
                    {"name": "godwit-park-1", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]},
            }))
            .unwrap()
        };
        let completed = json!({COMPLETED_ANNOTATION: "true"});
        let mut state = PodsState::default();
        assert!(
            state
                .take(Event::Apply(parked(json!({}), json!({"running": {}}))))
                .is_empty()
        );
        assert!(
            state
                .take(Event::Apply(parked(completed.clone(), json!({"waiting": {}}))))
                .is_empty()
        );
        let end = PodEvent::EndParking {
            pod_uid: "p".to_owned(),
            container: "godwit-park-1".to_owned(),
        };
        assert_eq!(
            state.take(Event::Apply(parked(completed, json!({"running": {}})))),
            std::slice::from_ref(&end)
        );
        assert_eq!(state.replay(), [end]);
    }

    #[test]
    fn what_went_while_the_watch_was_away_is_freed() {
        let mut state = PodsState::default();
        for event in [Event::Init, Event::InitApply(pod("a", "10.1.0.5"))] {
            state.take(event);
        }
        assert_eq!(state.take(Event::InitDone), [PodEvent::Synced]);
        state.take(Event::Init);
        let freed = PodEvent::AddressFreed {
            address: "10.1.0.5".parse().unwrap(),
        };
        assert_eq!(state.take(Event::InitDone), [freed]);
    }
}
