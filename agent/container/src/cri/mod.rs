//! A read-only client of the container runtime interface (CRI, `runtime.v1`) over the runtime's unix socket.

mod handlers;
pub mod info;
pub mod socket;
pub mod wire;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint, Uri};

use self::wire::{
    Container, ContainerFilter, ContainerState, ContainerStateValue, ContainerStatusRequest,
    ContainerStatusResponse, ImageSpec, ImageStatusRequest, ImageStatusResponse, ListContainersRequest,
    ListContainersResponse, ListPodSandboxRequest, ListPodSandboxResponse, PodSandbox, PodSandboxFilter,
    PodSandboxStatusRequest, PodSandboxStatusResponse, StatusRequest, StatusResponse, VersionRequest,
    VersionResponse,
};
use crate::host::Host;

/// The label by which kubelet marks sandboxes and containers with their pod's UID.
pub const POD_UID_LABEL: &str = "io.kubernetes.pod.uid";

/// No call takes longer; a runtime that is busy with an image still answers lists within a second.
const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// What containerd itself limits its answers to (`defaults.DefaultMaxRecvMsgSize`).
const MESSAGE_LIMIT: usize = 16 << 20;

/// Why the container runtime could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum CriError {
    /// Nothing listens at any of the known places.
    #[error("no container runtime answers at any of {tried}: is containerd or CRI-O running on this node?")]
    NotFound {
        /// The sockets that were tried.
        tried: String,
    },
    /// The socket could not be connected.
    #[error("cannot connect to the container runtime at {path}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the transport says.
        source: tonic::transport::Error,
    },
    /// The runtime did not answer in time.
    #[error("the container runtime did not answer {call} within {seconds} s")]
    Deadline {
        /// The call.
        call: &'static str,
        /// How long it had.
        seconds: u64,
    },
    /// The runtime answered with an error.
    #[error("the container runtime refused {call}")]
    Call {
        /// The call.
        call: &'static str,
        /// Its answer.
        source: Box<tonic::Status>,
    },
    /// The verbose status lacks its verbose part.
    #[error(
        "the container runtime gives no verbose information about {of}: only containerd and CRI-O are known to"
    )]
    NoInfo {
        /// The sandbox or container.
        of: String,
    },
    /// The verbose part could not be understood.
    #[error("the container runtime's verbose information about {of} cannot be understood")]
    BadInfo {
        /// The sandbox or container.
        of: String,
        /// Where it went wrong.
        source: serde_json::Error,
    },
}

impl CriError {
    /// A stable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "RuntimeNotFound",
            Self::Connect { .. } => "RuntimeUnreachable",
            Self::Deadline { .. } => "RuntimeTimeout",
            Self::Call { .. } => "RuntimeRefused",
            Self::NoInfo { .. } => "NoVerboseInfo",
            Self::BadInfo { .. } => "BadVerboseInfo",
        }
    }
}

/// A connection to the node's container runtime. Cheap to clone; it connects again by itself after the runtime was restarted.
#[derive(Debug, Clone)]
pub struct Cri {
    channel: Channel,
    socket: PathBuf,
}

impl Cri {
    /// Connects to the runtime that listens at `socket`.
    pub async fn connect(socket: &Path) -> Result<Self, CriError> {
        let path = socket.to_owned();
        // The address is not used; HTTP/2 wants one for its `:authority`.
        let endpoint = Endpoint::from_static("http://localhost").connect_timeout(CALL_DEADLINE);
        let channel = endpoint
            .connect_with_connector(tower::service_fn(move |_: Uri| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            }))
            .await
            .map_err(|source| CriError::Connect {
                path: socket.to_owned(),
                source,
            })?;
        Ok(Self {
            channel,
            socket: socket.to_owned(),
        })
    }

    /// Connects to the first of the usual sockets of `host` at which a runtime answers.
    pub async fn probe(host: &Host) -> Result<Self, CriError> {
        let candidates = socket::candidates(host);
        let mut last = None;
        for path in candidates.iter().filter(|path| path.exists()) {
            match Self::connect(path).await {
                Ok(cri) => match cri.version().await {
                    Ok(_) => return Ok(cri),
                    Err(error) => last = Some(error),
                },
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| CriError::NotFound {
            tried: socket::CANDIDATES.join(", "),
        }))
    }

    /// The socket that this is connected to.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Name and version of the runtime.
    pub async fn version(&self) -> Result<VersionResponse, CriError> {
        self.call(
            "Version",
            "/runtime.v1.RuntimeService/Version",
            VersionRequest { version: "v1".into() },
        )
        .await
    }

    /// Names of the runtime handlers that the runtime has loaded.
    pub async fn handlers(&self) -> Result<Vec<String>, CriError> {
        let answer: StatusResponse = self
            .call(
                "Status",
                "/runtime.v1.RuntimeService/Status",
                StatusRequest { verbose: true },
            )
            .await?;
        Ok(handlers::names(&answer))
    }

    /// The sandboxes of a pod, in any state.
    pub async fn sandboxes(&self, pod_uid: &str) -> Result<Vec<PodSandbox>, CriError> {
        let filter = PodSandboxFilter {
            state: None,
            label_selector: by_pod(pod_uid),
        };
        let request = ListPodSandboxRequest { filter: Some(filter) };
        let answer: ListPodSandboxResponse = self
            .call(
                "ListPodSandbox",
                "/runtime.v1.RuntimeService/ListPodSandbox",
                request,
            )
            .await?;
        Ok(answer.items)
    }

    /// The running containers of a pod, of any kind.
    pub async fn running_containers(&self, pod_uid: &str) -> Result<Vec<Container>, CriError> {
        let filter = ContainerFilter {
            state: Some(ContainerStateValue {
                state: ContainerState::Running.into(),
            }),
            pod_sandbox_id: String::new(),
            label_selector: by_pod(pod_uid),
        };
        let request = ListContainersRequest { filter: Some(filter) };
        let answer: ListContainersResponse = self
            .call(
                "ListContainers",
                "/runtime.v1.RuntimeService/ListContainers",
                request,
            )
            .await?;
        Ok(answer.containers)
    }

    /// Status and verbose account of a container.
    pub async fn container_status(&self, id: &str) -> Result<ContainerStatusResponse, CriError> {
        let request = ContainerStatusRequest {
            container_id: id.to_owned(),
            verbose: true,
        };
        self.call(
            "ContainerStatus",
            "/runtime.v1.RuntimeService/ContainerStatus",
            request,
        )
        .await
    }

    /// Verbose account of a sandbox.
    pub async fn sandbox_status(&self, id: &str) -> Result<PodSandboxStatusResponse, CriError> {
        let request = PodSandboxStatusRequest {
            pod_sandbox_id: id.to_owned(),
            verbose: true,
        };
        self.call(
            "PodSandboxStatus",
            "/runtime.v1.RuntimeService/PodSandboxStatus",
            request,
        )
        .await
    }

    /// The first address of a sandbox, as the CNI gave it; none if it has none (yet).
    pub async fn pod_address(&self, id: &str) -> Result<Option<Ipv4Addr>, CriError> {
        let status = self.sandbox_status(id).await?.status;
        Ok(status
            .and_then(|status| status.network)
            .and_then(|network| network.ip.parse().ok()))
    }

    /// The id of an image, given its id, digest or name; none if the node does not have it.
    pub async fn image_id(&self, image: &str) -> Result<Option<String>, CriError> {
        let request = ImageStatusRequest {
            image: Some(ImageSpec {
                image: image.to_owned(),
            }),
        };
        let answer: ImageStatusResponse = self
            .call("ImageStatus", "/runtime.v1.ImageService/ImageStatus", request)
            .await?;
        Ok(answer.image.map(|image| image.id))
    }

    async fn call<Q, A>(&self, name: &'static str, path: &'static str, request: Q) -> Result<A, CriError>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let mut client = Grpc::new(self.channel.clone()).max_decoding_message_size(MESSAGE_LIMIT);
        let work = async {
            client.ready().await.map_err(|source| CriError::Connect {
                path: self.socket.clone(),
                source,
            })?;
            client
                .unary(
                    tonic::Request::new(request),
                    PathAndQuery::from_static(path),
                    tonic_prost::ProstCodec::<Q, A>::default(),
                )
                .await
                .map(tonic::Response::into_inner)
                .map_err(|source| CriError::Call {
                    call: name,
                    source: Box::new(source),
                })
        };
        tokio::time::timeout(CALL_DEADLINE, work)
            .await
            .unwrap_or(Err(CriError::Deadline {
                call: name,
                seconds: CALL_DEADLINE.as_secs(),
            }))
    }
}

fn by_pod(pod_uid: &str) -> HashMap<String, String> {
    HashMap::from([(POD_UID_LABEL.to_owned(), pod_uid.to_owned())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_is_not_there_is_unreachable() {
        let error = Cri::connect(Path::new("/nonexistent/x.sock")).await.unwrap_err();
        assert_eq!(error.reason(), "RuntimeUnreachable");
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_never_answers_meets_the_deadline() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listening = tokio::net::UnixListener::bind(&path).unwrap();
        let silent = tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((stream, _)) = listening.accept().await {
                kept.push(stream);
            }
        });
        let answer = match Cri::connect(&path).await {
            Ok(cri) => cri.version().await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(["RuntimeTimeout", "RuntimeUnreachable"].contains(&answer.unwrap_err().reason()));
        silent.abort();
    }

    #[tokio::test]
    async fn without_any_socket_the_places_tried_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host {
            proc: dir.path().to_owned(),
            pid: 1,
        };
        let error = Cri::probe(&host).await.unwrap_err();
        assert_eq!(error.reason(), "RuntimeNotFound");
        assert!(error.to_string().contains("/run/crio/crio.sock"));
    }
}
