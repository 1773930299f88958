//! What the source has found out about its pod before anything is touched.

use std::{net::Ipv4Addr, path::PathBuf};

use godwit_container::{cgroup::Freezer, discover::ContainerOnNode, host::Host};

use crate::{carry::Carried, files::Part, volumes::Volume};

/// The pod as it is to be moved.
#[derive(Debug)]
pub struct SourcePod {
    /// Hostname inside the pod.
    pub hostname: String,
    /// The pod's network namespace, as a path on the node.
    pub netns: PathBuf,
    /// The pod's own address.
    pub own_address: Ipv4Addr,
    /// Every address that a connection may use: the pod's own, and those that it carries from moves before.
    pub addresses: Vec<Carried>,
    /// The containers that are moved, in the order of their start: native sidecars, then main ones.
    pub containers: Vec<SourceContainer>,
    /// Files of the node that the pod mounts, as their paths there.
    pub host_paths: Vec<PathBuf>,
    /// Names of the volumes whose content travels.
    pub volumes: Vec<String>,
}

/// One container of it.
#[derive(Debug)]
pub struct SourceContainer {
    /// Where it is on the node.
    pub on_node: ContainerOnNode,
    /// Its image by the digest of its configuration, which is the same on every node.
    pub image_id: String,
    /// Its image by the name in the pod's spec.
    pub image: String,
    /// True if a process of it has SysV shared memory mapped.
    pub maps_sysv: bool,
    /// Where Kubernetes has mounted something into it.
    pub mounts: Vec<PathBuf>,
    /// Where it sees volumes that other nodes can have mounted as well.
    pub shared: Vec<PathBuf>,
    /// What freezes it.
    pub freezer: Freezer,
    /// Where CRIU writes its images, as the agent sees it.
    pub image_dir: PathBuf,
    /// The same directory, as the node sees it.
    pub image_dir_on_node: PathBuf,
    /// Where its gate is, as the agent sees it.
    pub gate_dir: PathBuf,
    /// The same directory, as the node sees it.
    pub gate_dir_on_node: PathBuf,
    /// Where the runtime call keeps its files, as the agent sees it.
    pub call_dir: PathBuf,
}

impl SourceContainer {
    /// Its name in the pod's spec.
    pub fn name(&self) -> &str {
        &self.on_node.name
    }
}

impl SourcePod {
    /// The trees that travel: the layer of each container, the shared memory files that all of them see, and these volumes.
    pub fn parts(&self, host: &Host, volumes: Vec<Volume>) -> Vec<Part> {
        let layers = self
            .containers
            .iter()
            .filter_map(|it| Part::layer(host, &it.on_node, &it.freezer));
        let freezers: Vec<_> = self.containers.iter().map(|it| it.freezer.clone()).collect();
        let shared = self
            .containers
            .iter()
            .find_map(|it| Part::shared_memory(host, &it.on_node, freezers.clone()));
        let volumes = volumes.into_iter().map(|it| Part::volume(it, freezers.clone()));
        layers.chain(shared).chain(volumes).collect()
    }

    /// The addresses as text.
    pub fn address_texts(&self) -> Vec<String> {
        self.addresses
            .iter()
            .map(|carried| carried.address.to_string())
            .collect()
    }
}
