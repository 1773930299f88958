//! An agent's life: install, connect, take part, end in order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use godwit_container::call::Launcher;
use godwit_container::checkpoint::search_path;
use godwit_container::cri::{Cri, CriError};
use godwit_container::host::Host;
use godwit_crds::{Bandwidth, BandwidthError};
use godwit_memory::rounds::Pace;
use godwit_runtime::layout::Layout;
use godwit_transfer::Limits;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::carry::{CarryError, CarryKeeper, NodeAt};
use crate::cli::{RunOptions, UninstallOptions};
use crate::drain::Drain;
use crate::engine::Engine;
use crate::health::{Readiness, router};
use crate::host_files::HostFileCache;
use crate::identity::{IdentityError, IdentityKeeper};
use crate::install::{self, HostNode, InstallError, Installation};
use crate::journal::{JournalDir, JournalError};
use crate::kube_side::{MigrationFeed, NodeLabel, NodePods, pods_of_runtime_class};
use crate::metrics::Metrics;
use crate::node::{CopyRate, FreezeCost, Node, tracking_method};
use crate::node_facts;
use crate::node_report::ReportKeeper;
use crate::peer::{PeerError, PeerListener, Timing};
use crate::preflight::EngineVersion;

/// How long running migrations may take to finish when the agent is asked to end.
const DRAIN_LIMIT: Duration = Duration::from_mins(10);
/// How long the first certificate may take; the operator may be starting at the same time.
const IDENTITY_LIMIT: Duration = Duration::from_mins(5);
/// How long the label's removal may take then.
const LABEL_LIMIT: Duration = Duration::from_secs(15);

/// Why the agent ended, or did not start.
#[derive(Debug, Error)]
pub enum RunError {
    /// The node could not be set up, or what was set up could not be removed.
    #[error("the installation on this node is not as it should be")]
    Install(#[from] InstallError),
    /// There is no way to the API server.
    #[error("no way to the API server can be found")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The API server did not say which pods depend on the installation.
    #[error("the API server does not list this node's pods")]
    Pods(#[source] kube::Error),
    /// No certificate.
    #[error("this agent gets no certificate; is the operator running?")]
    Identity(#[source] IdentityError),
    /// The agents' port.
    #[error("agents of other nodes cannot be listened to")]
    Peer(#[source] PeerError),
    /// The container runtime.
    #[error("the container runtime of this node cannot be asked")]
    Cri(#[source] CriError),
    /// Carried addresses.
    #[error("the carried addresses of this node cannot be taken up")]
    Carry(#[source] CarryError),
    /// The journals.
    #[error("migrations of an earlier start cannot be taken up")]
    Journal(#[source] JournalError),
    /// The node's address.
    #[error("the node's address is {0}; only IPv4 is supported so far")]
    NotIpv4(IpAddr),
    /// The cap on what is sent.
    #[error("--bandwidth (agent.bandwidth in the chart) is of no use")]
    Bandwidth(#[source] BandwidthError),
    /// A port is taken.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// Signals cannot be caught.
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
}

impl RunError {
    /// Stable `PascalCase` reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Install(error) => error.reason(),
            Self::Client(_) => "NoApiServer",
            Self::Pods(_) => "PodsUnknown",
            Self::Listen { .. } => "PortTaken",
            Self::Identity(error) => error.reason(),
            Self::Peer(error) => error.reason(),
            Self::Cri(error) => error.reason(),
            Self::Carry(error) => error.reason(),
            Self::Journal(error) => error.reason(),
            Self::NotIpv4(_) => "NodeAddressUnsupported",
            Self::Signals(_) => "Signals",
            Self::Bandwidth(_) => "BandwidthInvalid",
        }
    }
}

/// What every part of the agent shares.
#[derive(Clone)]
pub struct Parts {
    /// The API server.
    pub client: kube::Client,
    /// Migrations of this node.
    pub feed: MigrationFeed,
    /// Pods of this node.
    pub pods: NodePods,
    /// Figures.
    pub metrics: Metrics,
    /// Running migrations register here; the end waits for them.
    pub drain: Drain,
    /// Cancelled when the process ends, after the drain.
    pub ended: CancellationToken,
}

/// Runs until SIGTERM or SIGINT, then ends in order: the label goes first, running migrations finish (at most 10
/// minutes; the journal settles the rest at the next start).
pub async fn run(options: RunOptions) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let (readiness, metrics, ended) = (Readiness::default(), Metrics::new(), CancellationToken::new());
    serve_health(&options, &readiness, &metrics, &ended).await?;
    let label = NodeLabel::new(&client().await?, &options.node.node_name);

    let lived = tokio::select! {
        lived = live(&options, &readiness, &metrics, &label, &ended) => lived,
        _ = terminate.recv() => Ok(None),
        _ = interrupt.recv() => Ok(None),
    };
    // Nothing has been started yet if the end came during the installation, or it failed.
    let parts = match lived {
        Ok(Some(parts)) => parts,
        early => {
            label.not_ready(LABEL_LIMIT).await;
            return early.map(drop);
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("ending: no new migration starts, running ones finish");
    readiness.set(false);
    if !label.not_ready(LABEL_LIMIT).await {
        warn!("the node's label could not be removed in time");
    }
    if let Err(running) = parts.drain.finish(DRAIN_LIMIT).await {
        warn!(
            running,
            "migrations still run; the next start takes them up from the journal"
        );
    }
    ended.cancel();
    Ok(())
}

/// Everything up to the ready node.
async fn live(
    options: &RunOptions,
    readiness: &Readiness,
    metrics: &Metrics,
    label: &NodeLabel,
    ended: &CancellationToken,
) -> Result<Option<Parts>, RunError> {
    let node = HostNode::new(&options.node.host_root);
    let done = Installation::new(&options.node.host_root, &options.payload)
        .install(&node)
        .await?;
    info!(
        files_changed = done.files,
        containerd_restarted = done.restarted,
        "installed on this node"
    );

    let client = client().await?;
    let node = Arc::new(set_up(options, &client).await?);
    let address = SocketAddr::new(IpAddr::from(Ipv4Addr::UNSPECIFIED), options.port);
    let listener = PeerListener::bind(
        address,
        node.identity.clone(),
        Timing::default(),
        Limits::default(),
    )
    .await
    .map_err(RunError::Peer)?;
    let parts = Parts {
        feed: MigrationFeed::start(&client, &options.node.node_name, ended),
        pods: NodePods::start(&client, &options.node.node_name, ended),
        client,
        metrics: metrics.clone(),
        drain: Drain::new(),
        ended: ended.clone(),
    };
    let here = node.clone();
    let reports = ReportKeeper {
        node: node.clone(),
        drain: parts.drain.clone(),
        metrics: metrics.clone(),
        interval: options.report_interval,
    };
    let engine = Engine::new(node, parts.drain.clone(), metrics.clone()).map_err(RunError::Journal)?;
    let (feed, pods, ended) = (parts.feed.clone(), parts.pods.clone(), ended.clone());
    tokio::spawn(async move { Arc::new(engine).run(&feed, pods, listener, ended).await });
    // The probe tries it on a process of its own.
    let tracking = tokio::task::spawn_blocking(|| tracking_method(godwit_memory::track::probe()));
    let tracking = tracking.await.unwrap_or(godwit_crds::TrackingMethod::None);
    let facts = node_facts::gather(&here).await;
    label.set(tracking, &facts).await;
    tokio::spawn(node_facts::keep(here, label.clone(), facts, parts.ended.clone()));
    readiness.set(true);
    tokio::spawn(reports.run());
    Ok(Some(parts))
}

/// Connects to everything that migrations need. Carried addresses are restored here, before anything else is done.
async fn set_up(options: &RunOptions, client: &kube::Client) -> Result<Node, RunError> {
    let name = &options.node.node_name;
    let IpAddr::V4(address) = options.node_address else {
        return Err(RunError::NotIpv4(options.node_address));
    };
    let host = Host::default();
    let layout = Layout::new(&options.node.host_root);
    let cri = Cri::probe(&host).await.map_err(RunError::Cri)?;
    let search_path = search_path(&host, cri.socket()).await;
    let me = NodeAt {
        name: name.clone(),
        address,
    };
    let carry = CarryKeeper::start(me, host.clone(), layout.carry_dir())
        .await
        .map_err(RunError::Carry)?;
    let keeper = IdentityKeeper::start(client.clone(), name, &options.namespace, IDENTITY_LIMIT)
        .await
        .map_err(RunError::Identity)?;
    let identity = keeper.identity();
    tokio::spawn(keeper.run());
    let cap = options.bandwidth.as_ref().map(Bandwidth::bytes_per_second);
    let cap = cap.transpose().map_err(RunError::Bandwidth)?;
    Ok(Node {
        bandwidth: cap.map(|cap| Arc::new(Mutex::new(Pace::new(cap)))),
        started: Instant::now(),
        freeze_cost: FreezeCost::default(),
        copy_rate: CopyRate::default(),
        engine: EngineVersion::default(),
        host_files: HostFileCache::default(),
        name: name.clone(),
        host,
        journals: JournalDir::new(layout.journal_dir()),
        layout,
        layout_on_node: Layout::new(Path::new("/")),
        cri,
        search_path,
        launcher: Launcher::default(),
        client: client.clone(),
        identity,
        port: options.port,
        carry: Arc::new(carry),
    })
}

/// Takes everything out of the node, unless pods depend on it.
pub async fn uninstall(options: &UninstallOptions) -> Result<(), RunError> {
    let client = client().await?;
    let pods = pods_of_runtime_class(&client, &options.node.node_name)
        .await
        .map_err(RunError::Pods)?;
    let users: Vec<_> = pods
        .into_iter()
        .chain(install::local_users(&options.node.host_root))
        .collect();
    if !users.is_empty() {
        return Err(InstallError::InUse { users }.into());
    }
    // Before anything is taken out, so that no pod is scheduled here in between.
    if !NodeLabel::new(&client, &options.node.node_name)
        .remove(LABEL_LIMIT)
        .await
    {
        warn!("the node's label could not be removed in time");
    }
    let pods = pods_of_runtime_class(&client, &options.node.node_name)
        .await
        .map_err(RunError::Pods)?;
    let installation = Installation::new(&options.node.host_root, "");
    let there = install::uninstall(&installation, &HostNode::new(&options.node.host_root), pods).await?;
    info!(there, "nothing of Godwit is left on this node");
    Ok(())
}

async fn client() -> Result<kube::Client, RunError> {
    // rustls has more than one provider compiled in by way of dependencies; the choice must be made once.
    let _ = rustls::crypto::ring::default_provider().install_default();
    kube::Client::try_default()
        .await
        .map_err(|error| RunError::Client(error.into()))
}

async fn serve_health(
    options: &RunOptions,
    readiness: &Readiness,
    metrics: &Metrics,
    ended: &CancellationToken,
) -> Result<(), RunError> {
    // Kubelet probes by the node's address, Prometheus too; of the same family as that.
    let any = match options.node_address {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let address = SocketAddr::new(any, options.metrics_port);
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Listen { address, source })?;
    let service = axum::serve(listener, router(readiness.clone(), metrics.clone()));
    let ended = ended.clone();
    tokio::spawn(async move {
        tokio::select! {
            served = service => if let Err(error) = served {
                warn!(%error, "the health port has closed");
            },
            () = ended.cancelled() => {}
        }
    });
    Ok(())
}
