//! The messages of `runtime.v1` that are used, written by hand: only the fields that are read or set. Names and numbers as in
//! k8s.io/cri-api's `api.proto`; protobuf skips the others.

use std::collections::HashMap;

/// `VersionRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct VersionRequest {
    /// Version of the kubelet runtime API; runtimes ignore it.
    #[prost(string, tag = "1")]
    pub version: String,
}

/// `VersionResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct VersionResponse {
    /// `containerd` or `cri-o`.
    #[prost(string, tag = "2")]
    pub runtime_name: String,
    /// The runtime's own version.
    #[prost(string, tag = "3")]
    pub runtime_version: String,
    /// The version of the interface, `v1`.
    #[prost(string, tag = "4")]
    pub runtime_api_version: String,
}

/// `StatusRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StatusRequest {
    /// Whether the verbose part is wanted.
    #[prost(bool, tag = "1")]
    pub verbose: bool,
}

/// `StatusResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StatusResponse {
    /// The verbose part; containerd: its configuration, as JSON under `config`.
    #[prost(map = "string, string", tag = "2")]
    pub info: HashMap<String, String>,
    /// The loaded runtime handlers, since CRI 1.30.
    #[prost(message, repeated, tag = "3")]
    pub runtime_handlers: Vec<RuntimeHandler>,
}

/// `RuntimeHandler`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RuntimeHandler {
    /// Its name; empty for the default one.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// `PodSandboxState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum PodSandboxState {
    /// The sandbox can run containers.
    Ready = 0,
    /// It cannot (any more).
    NotReady = 1,
}

/// `ContainerState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ContainerState {
    /// Made, not started.
    Created = 0,
    /// Started.
    Running = 1,
    /// Ended.
    Exited = 2,
    /// The runtime cannot tell.
    Unknown = 3,
}

/// `PodSandboxStateValue`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxStateValue {
    /// The state to filter by.
    #[prost(enumeration = "PodSandboxState", tag = "1")]
    pub state: i32,
}

/// `PodSandboxFilter`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxFilter {
    /// Only sandboxes in this state.
    #[prost(message, optional, tag = "2")]
    pub state: Option<PodSandboxStateValue>,
    /// Only sandboxes with all these labels.
    #[prost(map = "string, string", tag = "3")]
    pub label_selector: HashMap<String, String>,
}

/// `ListPodSandboxRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListPodSandboxRequest {
    /// What to list.
    #[prost(message, optional, tag = "1")]
    pub filter: Option<PodSandboxFilter>,
}

/// `PodSandboxMetadata`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxMetadata {
    /// The pod's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The pod's UID.
    #[prost(string, tag = "2")]
    pub uid: String,
    /// The pod's namespace.
    #[prost(string, tag = "3")]
    pub namespace: String,
}

/// `PodSandbox`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandbox {
    /// The sandbox's id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Whose it is.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<PodSandboxMetadata>,
    /// Whether it can run containers.
    #[prost(enumeration = "PodSandboxState", tag = "3")]
    pub state: i32,
    /// When it was made, nanoseconds since 1970.
    #[prost(int64, tag = "4")]
    pub created_at: i64,
    /// The handler of its `RuntimeClass`; empty for the default.
    #[prost(string, tag = "7")]
    pub runtime_handler: String,
}

/// `ListPodSandboxResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListPodSandboxResponse {
    /// The sandboxes found.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<PodSandbox>,
}

/// `PodSandboxStatusRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxStatusRequest {
    /// Which sandbox.
    #[prost(string, tag = "1")]
    pub pod_sandbox_id: String,
    /// Whether to fill `info`.
    #[prost(bool, tag = "2")]
    pub verbose: bool,
}

/// `PodSandboxStatusResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxStatusResponse {
    /// What is known of the sandbox.
    #[prost(message, optional, tag = "1")]
    pub status: Option<PodSandboxStatus>,
    /// The runtime's own account, JSON by key.
    #[prost(map = "string, string", tag = "2")]
    pub info: HashMap<String, String>,
}

/// `PodSandboxStatus`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxStatus {
    /// Its network.
    #[prost(message, optional, tag = "5")]
    pub network: Option<PodSandboxNetworkStatus>,
}

/// `PodSandboxNetworkStatus`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSandboxNetworkStatus {
    /// The pod's first address; empty where the pod uses the host's network.
    #[prost(string, tag = "1")]
    pub ip: String,
}

/// `ImageSpec`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ImageSpec {
    /// Id, digest or name.
    #[prost(string, tag = "1")]
    pub image: String,
}

/// `ImageStatusRequest` (of the image service).
#[derive(Clone, PartialEq, prost::Message)]
pub struct ImageStatusRequest {
    /// Which image.
    #[prost(message, optional, tag = "1")]
    pub image: Option<ImageSpec>,
}

/// `ImageStatusResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ImageStatusResponse {
    /// The image; none if the node does not have it.
    #[prost(message, optional, tag = "1")]
    pub image: Option<Image>,
}

/// `Image`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Image {
    /// Its id, the digest of its configuration.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// `ContainerStateValue`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerStateValue {
    /// The state to filter by.
    #[prost(enumeration = "ContainerState", tag = "1")]
    pub state: i32,
}

/// `ContainerFilter`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerFilter {
    /// Only containers in this state.
    #[prost(message, optional, tag = "2")]
    pub state: Option<ContainerStateValue>,
    /// Only containers of this sandbox, unless empty.
    #[prost(string, tag = "3")]
    pub pod_sandbox_id: String,
    /// Only containers with all these labels.
    #[prost(map = "string, string", tag = "4")]
    pub label_selector: HashMap<String, String>,
}

/// `ListContainersRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListContainersRequest {
    /// What to list.
    #[prost(message, optional, tag = "1")]
    pub filter: Option<ContainerFilter>,
}

/// `ContainerMetadata`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerMetadata {
    /// The container's name in the pod's spec.
    #[prost(string, tag = "1")]
    pub name: String,
    /// How often it was started before.
    #[prost(uint32, tag = "2")]
    pub attempt: u32,
}

/// `Container`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Container {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The sandbox it is in.
    #[prost(string, tag = "2")]
    pub pod_sandbox_id: String,
    /// Which container of the pod it is.
    #[prost(message, optional, tag = "3")]
    pub metadata: Option<ContainerMetadata>,
    /// Digest by which the image was found.
    #[prost(string, tag = "5")]
    pub image_ref: String,
    /// Whether it runs.
    #[prost(enumeration = "ContainerState", tag = "6")]
    pub state: i32,
    /// Id of its image; empty before Kubernetes 1.29.
    #[prost(string, tag = "10")]
    pub image_id: String,
}

/// `ListContainersResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListContainersResponse {
    /// The containers found.
    #[prost(message, repeated, tag = "1")]
    pub containers: Vec<Container>,
}

/// `ContainerStatusRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerStatusRequest {
    /// Which container.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Whether to fill `info`.
    #[prost(bool, tag = "2")]
    pub verbose: bool,
}

/// `ContainerStatus`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerStatus {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Whether it runs.
    #[prost(enumeration = "ContainerState", tag = "3")]
    pub state: i32,
    /// Digest or id of its image.
    #[prost(string, tag = "9")]
    pub image_ref: String,
    /// Its log, in the host's view.
    #[prost(string, tag = "15")]
    pub log_path: String,
    /// Id of its image; empty before Kubernetes 1.29.
    #[prost(string, tag = "17")]
    pub image_id: String,
}

/// `ContainerStatusResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerStatusResponse {
    /// What the interface says.
    #[prost(message, optional, tag = "1")]
    pub status: Option<ContainerStatus>,
    /// The runtime's own account, JSON by key.
    #[prost(map = "string, string", tag = "2")]
    pub info: HashMap<String, String>,
}
