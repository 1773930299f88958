//! What a node does for a carried address, as it is saved.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::filter::Relaxed;
use crate::kernel::{interface, interface_with, way_to};
use crate::{Error, Netns};

/// One node's part in carrying one address; JSON, saved by the caller before it is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CarryRecord {
    /// Layout of this record: 1.
    pub version: u32,
    /// The carried address.
    pub address: Ipv4Addr,
    /// What this node does.
    pub part: Part,
    /// The interface by which held packets come in, whose filters are relaxed from [`super::flip`] to [`super::settle`].
    pub relaxed: Option<Relaxed>,
}

/// The two parts that a node can have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields)]
pub enum Part {
    /// The pod is here.
    Own {
        /// The pod's address of its own; packets for the carried one go to the same neighbour.
        pod_address: Ipv4Addr,
        /// The node's interface to the pod: a bridge, or the pod's own veth.
        device: String,
        /// The interface by which held packets arrive: to the node that the pod came from, or, on the same node, to the old pod.
        uplink: String,
        /// Ethernet address of the old pod, if it is on this node: what it lets go is on its second way through this node, and passes untracked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        old_pod: Option<[u8; 6]>,
        /// Address of the home node, through which replies return, and the interface to it; none at home.
        return_by: Option<(Ipv4Addr, String)>,
    },
    /// The pod is elsewhere.
    Forward {
        /// Address of the node where it is.
        next_hop: Ipv4Addr,
        /// The interface to that node.
        uplink: String,
        /// The node's interface to the pod that was here.
        device: String,
        /// Ethernet address of the old pod: what it lets go is on its second way through this node, and passes
        /// untracked. None if no pod was here (the home, repointed).
        old_pod: Option<[u8; 6]>,
        /// At home: neighbours on the pod bridge ask for the address; answer in its place.
        answer_arp: bool,
    },
}

/// Where a pod comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// The node with this address.
    Node(Ipv4Addr),
    /// A pod of the same node, with its own address.
    Pod(Netns, Ipv4Addr),
}

/// Finds out how this node would own `address` for the pod with `pod_address` that comes from `origin`, and whose packets return by the node with address `home`
/// (none if this node is the home). Changes nothing. Fails with [`Error::NotDirect`] if a router is in between.
pub async fn survey_own(
    host: &Netns,
    address: Ipv4Addr,
    pod_address: Ipv4Addr,
    origin: Origin,
    home: Option<Ipv4Addr>,
) -> Result<CarryRecord, Error> {
    let old_pod = match &origin {
        Origin::Node(_) => None,
        Origin::Pod(pod, own) => ethernet_of(pod, *own).await?,
    };
    host.route("finding the way to the pod", move |handle| async move {
        let way = way_to(&handle, pod_address).await?;
        let device = interface(&handle, way.interface).await?.name;
        let return_by = match home {
            Some(home) => Some((home, direct(&handle, home).await?)),
            None => None,
        };
        let uplink = match origin {
            Origin::Node(from) => direct(&handle, from).await?,
            Origin::Pod(_, own) => {
                let way = way_to(&handle, own).await?;
                interface(&handle, way.interface).await?.name
            }
        };
        let relaxed = Relaxed::survey(&uplink)?;
        let part = Part::Own {
            pod_address,
            device,
            uplink,
            old_pod,
            return_by,
        };
        Ok(CarryRecord {
            version: 1,
            address,
            part,
            relaxed,
        })
    })
    .await
}

/// Finds out how this node would forward `address` to the node with address `next_hop`. `pod` is the namespace of the
/// pod that is leaving this node and one address of it that has a route here (the carried one, if this is its first
/// move); none at a home that is repointed, where `device` must be known from its record instead: pass the old record to [`CarryRecord::repoint`].
/// Changes nothing. Fails with [`Error::NotDirect`] if a router is in between.
pub async fn survey_forward(
    host: &Netns,
    pod: &Netns,
    pod_address: Ipv4Addr,
    address: Ipv4Addr,
    next_hop: Ipv4Addr,
    at_home: bool,
) -> Result<CarryRecord, Error> {
    let old_pod = ethernet_of(pod, pod_address).await?;
    host.route("finding the way to the other node", move |handle| async move {
        let uplink = direct(&handle, next_hop).await?;
        let way = way_to(&handle, pod_address).await?;
        let device = interface(&handle, way.interface).await?.name;
        let relaxed = Relaxed::survey(&device)?;
        let part = Part::Forward {
            next_hop,
            uplink,
            device,
            old_pod,
            answer_arp: at_home,
        };
        Ok(CarryRecord {
            version: 1,
            address,
            part,
            relaxed,
        })
    })
    .await
}

impl CarryRecord {
    /// The record of a home whose pod moved on to the node with address `next_hop`. Fails with [`Error::NotDirect`], or
    /// with [`Error::Plan`] if the pod is here.
    pub async fn repoint(&self, host: &Netns, next_hop: Ipv4Addr) -> Result<Self, Error> {
        let Part::Forward {
            device, answer_arp, ..
        } = self.part.clone()
        else {
            return Err(Error::Plan(
                "only a node that forwards an address can be repointed",
            ));
        };
        let uplink = host
            .route("finding the way to the other node", move |handle| async move {
                direct(&handle, next_hop).await
            })
            .await?;
        let part = Part::Forward {
            next_hop,
            uplink,
            device,
            old_pod: None,
            answer_arp,
        };
        Ok(Self {
            part,
            relaxed: None,
            ..self.clone()
        })
    }
}

impl Part {
    pub(super) fn nft_table(&self, address: Ipv4Addr) -> String {
        let [own, forward] = super::nft_tables_of(address);
        match self {
            Self::Own { .. } => own,
            Self::Forward { .. } => forward,
        }
    }
}

async fn ethernet_of(pod: &Netns, pod_address: Ipv4Addr) -> Result<Option<[u8; 6]>, Error> {
    pod.route("finding the pod's interface", move |handle| async move {
        Ok(interface_with(&handle, pod_address).await?.ethernet)
    })
    .await
}

/// The interface to a node that must be a direct neighbour.
async fn direct(handle: &rtnetlink::Handle, node: Ipv4Addr) -> Result<String, Error> {
    let way = way_to(handle, node).await?;
    match way.gateway {
        Some(router) => Err(Error::NotDirect { node, router }),
        None => Ok(interface(handle, way.interface).await?.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_json_and_refuse_what_they_do_not_know() {
        let record = CarryRecord {
            version: 1,
            address: Ipv4Addr::new(10, 244, 1, 7),
            part: Part::Own {
                pod_address: Ipv4Addr::new(10, 244, 2, 5),
                device: "cni0".into(),
                uplink: "eth0".into(),
                old_pod: None,
                return_by: Some((Ipv4Addr::new(10, 77, 0, 11), "eth0".into())),
            },
            relaxed: Some(Relaxed {
                device: "eth0".into(),
                rp_filter: 1,
                accept_local: 0,
            }),
        };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<CarryRecord>(&text).unwrap(), record);
        let strange = text.replacen("\"version\"", "\"colour\":1,\"version\"", 1);
        assert!(serde_json::from_str::<CarryRecord>(&strange).is_err());
    }
}
