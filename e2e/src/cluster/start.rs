//! Bringing the cluster up.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::{Api, Client, api::ListParams};
use nix::sched::CloneFlags;

use crate::images;
use crate::init::{self, InitSpec};
use crate::{paths, recipes};

use super::cgroups::Groups;
use super::pki::{self, Authority};
use super::plan::{self, NodePlan};
use super::process::ProcessId;
use super::spawn::{self, Place};
use super::state::{Ledger, NodeState, State};
use super::{control_plane, kubeconfig, network, node_spec, teardown};

/// On a bare machine Kubernetes is built first.
const PATIENCE: Duration = Duration::from_hours(1);
const READY: Duration = Duration::from_mins(3);

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was up already.
    WasUp,
    /// It is up now.
    Started,
}

/// Bring up a cluster of `count` nodes; all are Ready when this returns. What an earlier, broken run left is removed
/// first. `program` is the path of `e2e`. Fails if a cluster of another size is up.
pub fn up(count: u8, program: &Path) -> Result<Outcome> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the cluster's nodes are namespaces with mounts and devices: run this as root");
    }
    if count == 0 || count > plan::MOST_NODES {
        bail!("a cluster has 1 to {} nodes", plan::MOST_NODES);
    }
    let _lock = teardown::lock(PATIENCE)?;
    if let Some(state) = State::read()?.filter(State::alive) {
        if state.nodes.len() != usize::from(count) {
            bail!(
                "a cluster of {} nodes is up: take it down first (`cargo e2e down`)",
                state.nodes.len()
            );
        }
        return Ok(Outcome::WasUp);
    }
    teardown::remove().context("remove what an earlier run left")?;
    match start(count, program) {
        Ok(()) => Ok(Outcome::Started),
        Err(error) => Err(error.context(format!(
            "the cluster did not start; logs are in {}, `cargo e2e down` removes what is there",
            paths::log_dir().display()
        ))),
    }
}

struct Parts {
    tree: PathBuf,
    kubernetes: PathBuf,
    images: Vec<PathBuf>,
}

/// Make all that is slow to make and kept for ever, if it is not there yet.
pub fn prepare() -> Result<()> {
    parts().map(drop)
}

/// All that is slow to make; two things at a time.
fn parts() -> Result<Parts> {
    recipes::host::ensure()?;
    std::thread::scope(|scope| {
        let kubernetes = scope.spawn(recipes::hyperkube::ensure);
        let tree = recipes::debian::ensure()?;
        let images = images::for_tests()?;
        let kubernetes = kubernetes
            .join()
            .map_err(|_| anyhow!("the build of Kubernetes panicked"))??;
        Ok(Parts {
            tree,
            kubernetes,
            images,
        })
    })
}

fn start(count: u8, program: &Path) -> Result<()> {
    let clock = Instant::now();
    let parts = parts()?;
    let nodes = NodePlan::all(count);
    let state_dir = paths::state_dir();
    std::fs::create_dir_all(paths::log_dir())?;
    let center = plan::control_plane_namespace();
    let center_groups = Groups::plan(&center)?;
    let mut node_groups = Vec::new();
    for node in &nodes {
        node_groups.push(Groups::plan(&node.namespace())?);
    }
    refuse_strangers(&nodes)?;
    Ledger {
        groups: std::iter::once(&center_groups)
            .chain(&node_groups)
            .cloned()
            .collect(),
        namespaces: network::namespaces(&nodes),
        links: vec![plan::HOST_LINK.to_owned()],
        netns_was_mounted: network::netns_is_mounted(),
    }
    .write()?;
    network::create(&nodes)?;
    let authority = Authority::generate()?;
    let admin = authority.client("kubernetes-admin", Some("system:masters"))?;
    pki::write_secret(
        &paths::kubeconfig(),
        &kubeconfig::text("kubernetes-admin", &admin, &authority.pair.certificate),
    )?;

    let spec = control_plane::prepare(&authority, &parts.tree, &parts.kubernetes)?;
    let fresh = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS;
    let control_plane = launch(&spec, program, center_groups, &center, fresh)?;
    let fresh = fresh | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWCGROUP;
    let mut running = Vec::new();
    for (&node, groups) in nodes.iter().zip(node_groups) {
        let images = parts.images.clone();
        let spec = node_spec::prepare(&authority, node, &nodes, &parts.tree, &parts.kubernetes, images)?;
        let init = launch(&spec, program, groups.clone(), &node.namespace(), fresh)?;
        running.push(NodeState {
            name: node.name(),
            address: node.address(),
            init,
            groups,
        });
    }
    eprintln!("{:5.1} s  processes started", clock.elapsed().as_secs_f64());
    let state = State {
        control_plane,
        nodes: running,
    };
    wait_ready(&state, &clock)?;
    state.write()?;
    eprintln!(
        "{:5.1} s  cluster is up; kubeconfig: {}",
        clock.elapsed().as_secs_f64(),
        state_dir.join("kubeconfig").display()
    );
    Ok(())
}

/// Names that exist before the ledger is written are somebody else's: they must be neither used nor removed.
fn refuse_strangers(nodes: &[NodePlan]) -> Result<()> {
    for name in network::namespaces(nodes) {
        if network::namespace_file(&name).exists() {
            bail!(
                "a network namespace {name} exists that this program has no record of: `ip netns del {name}`"
            );
        }
    }
    Ok(())
}

fn launch(
    spec: &InitSpec,
    program: &Path,
    groups: Groups,
    network: &str,
    fresh: CloneFlags,
) -> Result<ProcessId> {
    groups.create()?;
    let path = paths::state_dir().join(format!("{}.spec.json", spec.name));
    pki::write_secret(&path, &serde_json::to_string(spec)?)?;
    let log_path = paths::log_dir().join(format!("{}-init.log", spec.name));
    let log = OpenOptions::new().create(true).append(true).open(&log_path)?;
    let mut command = Command::new(program);
    command
        .arg(init::SUBCOMMAND)
        .arg(&path)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let place = Place {
        groups,
        network: network::namespace_file(network),
        fresh,
    };
    let child = spawn::spawn(command, &place)?;
    ProcessId::of(i32::try_from(child.id())?)
        .with_context(|| format!("{} ended at once: see {}", spec.name, log_path.display()))
}

fn wait_ready(state: &State, clock: &Instant) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let deadline = Instant::now() + READY;
    runtime.block_on(async {
        let client = super::handle::client(&paths::kubeconfig()).await?;
        let mut said = false;
        loop {
            match not_ready(&client, state).await {
                Ok(missing) if missing.is_empty() => return Ok(()),
                Ok(missing) => {
                    if !said {
                        eprintln!("{:5.1} s  API server answers", clock.elapsed().as_secs_f64());
                        said = true;
                    }
                    if Instant::now() > deadline {
                        bail!("not ready after {READY:?}: {}", missing.join(", "));
                    }
                }
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context("the API server does not answer"));
                }
                Err(_) => {}
            }
            if !state.alive() {
                bail!("a node ended: see its log");
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    })
}

/// What is still missing before pods can be created.
async fn not_ready(client: &Client, state: &State) -> Result<Vec<String>> {
    let nodes = Api::<Node>::all(client.clone())
        .list(&ListParams::default())
        .await?;
    let ready: Vec<String> = nodes
        .into_iter()
        .filter(|node| {
            node.status
                .iter()
                .flat_map(|status| status.conditions.iter().flatten())
                .any(|condition| condition.type_ == "Ready" && condition.status == "True")
        })
        .filter_map(|node| node.metadata.name)
        .collect();
    let mut missing: Vec<String> = state
        .nodes
        .iter()
        .map(|node| node.name.clone())
        .filter(|name| !ready.contains(name))
        .collect();
    if missing.is_empty() {
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
        if accounts.get_opt("default").await?.is_none() {
            missing.push("the default service account".to_owned());
        }
    }
    Ok(missing)
}
