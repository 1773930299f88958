//! What is to be moved.

/// One container of the pod.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ContainerEntry {
    /// Its name in the pod's spec.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its image by digest, as CRI reports it.
    #[prost(string, tag = "2")]
    pub image_id: String,
    /// The low-level runtime that runs it, for example `runc 1.3.0`.
    #[prost(string, tag = "3")]
    pub runtime: String,
    /// Its image by the name in the pod's spec, by which the target's kubelet will look for it.
    #[prost(string, tag = "4")]
    pub image: String,
    /// True for the one container whose restore brings the pod's SysV objects along.
    #[prost(bool, tag = "5")]
    pub owns_sysv: bool,
    /// True if its memory comes in objects of its own, ahead of CRIU's images, which then lack it.
    #[prost(bool, tag = "6")]
    pub lazy: bool,
}

/// An address of the pod, and where it is at home.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct PodAddress {
    /// The address.
    #[prost(string, tag = "1")]
    pub address: String,
    /// Node whose CNI gave it out.
    #[prost(string, tag = "2")]
    pub home_node: String,
    /// `InternalIP` of that node.
    #[prost(string, tag = "3")]
    pub home_address: String,
}

/// Something of the node itself that the pod mounts, and that has to be the same on the target's node.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct HostPath {
    /// Where it is, absolute, in the node's view.
    #[prost(string, tag = "1")]
    pub path: String,
    /// BLAKE3 of all that is there (`agent/src/host_paths/fingerprint.rs`): 32 bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub digest: bytes::Bytes,
    /// Files, directories and links.
    #[prost(uint64, tag = "3")]
    pub entries: u64,
    /// Bytes in its files.
    #[prost(uint64, tag = "4")]
    pub bytes: u64,
}

/// What moves.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Manifest {
    /// UID of the source pod.
    #[prost(string, tag = "1")]
    pub source_pod_uid: String,
    /// UID of the target pod.
    #[prost(string, tag = "2")]
    pub target_pod_uid: String,
    /// Hostname inside the pod.
    #[prost(string, tag = "3")]
    pub hostname: String,
    /// Every address that a connection of the pod may use.
    #[prost(message, repeated, tag = "4")]
    pub addresses: Vec<PodAddress>,
    /// The containers that are moved, in the order of their start: native sidecars, then main ones.
    #[prost(message, repeated, tag = "5")]
    pub containers: Vec<ContainerEntry>,
    /// What has to be on the target's node already.
    #[prost(message, repeated, tag = "7")]
    pub host_paths: Vec<HostPath>,
    /// Names of the pod's volumes whose content comes along: the target must have them.
    #[prost(string, repeated, tag = "6")]
    pub volumes: Vec<String>,
    /// Bytes of memory that only the pod's processes have, and that the target's node has to take; 0 if the source's agent does not say.
    #[prost(uint64, tag = "20")]
    pub memory_bytes: u64,
    /// Files of the node, as paths in the containers, that are not the same on the target's node, which the user has accepted: CRIU is not to hold
    /// their size and build against the source's.
    #[prost(string, repeated, tag = "8")]
    pub other_files: Vec<String>,
}

/// The target can take what the manifest names. Its clock is told along, by which the source knows whether the two nodes' clocks are alike.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Agreed {
    /// When the manifest arrived, by the target's clock (`CLOCK_REALTIME`, microseconds of Unix time); 0: not told.
    #[prost(uint64, tag = "1")]
    pub received_us: u64,
    /// When this was sent, by the same.
    #[prost(uint64, tag = "2")]
    pub sent_us: u64,
}
