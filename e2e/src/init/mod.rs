//! The first process of a node's (or the control plane's) PID namespace: `e2e` itself, started again.
//!
//! It makes the namespace look like a machine, starts the services and starts them again whenever they end, and
//! collects orphans.

mod root;
mod supervisor;
mod sysctl;

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use supervisor::Supervisor;

/// The hidden subcommand that makes `e2e` such a process.
pub const SUBCOMMAND: &str = "init";

const SOCKET: &str = "/run/containerd/containerd.sock";
const PATIENCE: Duration = Duration::from_mins(2);

/// What to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InitSpec {
    /// Host name, and prefix of the logs' names.
    pub name: String,
    /// A folder of the host for logs.
    pub log_dir: PathBuf,
    /// A root of its own; `None`: the host's (with a `/proc` of its own).
    pub root: Option<NodeRoot>,
    /// Started at once, in this order.
    pub services: Vec<Service>,
    /// Image archives of the host, imported into containerd once it answers.
    pub images: Vec<PathBuf>,
    /// An address that must accept connections before the rest is started.
    pub gate: Option<SocketAddr>,
    /// Started after that.
    pub after_gate: Vec<Service>,
}

/// A node's root.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeRoot {
    /// What lies below; it is not written to.
    pub tree: PathBuf,
    /// The binary of all Kubernetes components.
    pub kubernetes: PathBuf,
    /// An empty folder of the host to mount it on; the mount is seen in the node only.
    pub mount_at: PathBuf,
    /// Files to write into it.
    pub files: Vec<NodeFile>,
}

/// A file of a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeFile {
    /// Absolute, as the node sees it.
    pub path: String,
    /// Its text.
    pub content: String,
    /// Its permissions.
    pub mode: u32,
}

/// A program that always runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Service {
    /// For logs.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<String>,
}

/// Be the first process of a PID namespace as the file `spec` says. Returns only with an error; the kernel then ends
/// everything in the namespace.
pub fn run(spec: &Path) -> Result<()> {
    if std::process::id() != 1 {
        bail!("{SUBCOMMAND} is for e2e itself: it must be the first process of a PID namespace");
    }
    let text = std::fs::read(spec).with_context(|| format!("read {}", spec.display()))?;
    let spec: InitSpec = serde_json::from_slice(&text)?;
    let mut images = Vec::new();
    for path in &spec.images {
        images.push(std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?);
    }
    let mut supervisor = Supervisor::new(&spec.name);
    for service in spec.services.iter().chain(&spec.after_gate) {
        // Opened now: the folder is out of sight once the root is another.
        supervisor.open_log(service, &spec.log_dir)?;
    }
    nix::unistd::sethostname(&spec.name).context("set the host name")?;
    match &spec.root {
        Some(root) => root::enter(root)?,
        None => root::keep_host()?,
    }
    sysctl::be_a_router()?;
    for service in &spec.services {
        supervisor.start(service)?;
    }
    if !images.is_empty() {
        supervisor.wait_until(PATIENCE, "containerd", || Path::new(SOCKET).exists())?;
    }
    for image in images {
        import(&mut supervisor, &image)?;
    }
    if let Some(gate) = spec.gate {
        supervisor.wait_until(PATIENCE, "the API server", || {
            TcpStream::connect_timeout(&gate, Duration::from_millis(200)).is_ok()
        })?;
    }
    for service in &spec.after_gate {
        supervisor.start(service)?;
    }
    supervisor.run_for_ever()
}

/// The socket is there a moment before containerd answers, so this is tried again for a while.
fn import(supervisor: &mut Supervisor, image: &std::fs::File) -> Result<()> {
    use std::io::Seek as _;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut archive = image.try_clone()?;
        archive.rewind()?;
        let mut ctr = Command::new("ctr");
        ctr.args(["--namespace", "k8s.io", "images", "import", "-"])
            .stdin(archive)
            .stdout(Stdio::null());
        if supervisor.run_once(&mut ctr)? {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("containerd takes no image");
        }
        supervisor.pause(Duration::from_millis(50));
    }
}
