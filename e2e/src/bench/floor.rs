//! The floor: the same Redis, moved by hand within one node by `runc pause`, `checkpoint` and `restore`, from network
//! namespace to network namespace, with a client's connection that lives on. Each move begins where the last one ended.
//!
//! The container is made from the configuration that containerd gave to a Redis pod of this node, so that it has the
//! same mounts, limits and image as what Godwit moves; CRIU and its settings are those that Godwit's agent brought.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::client::{Client, Connection};
use super::criu_stats::{self, CriuDump, CriuRestore};
use crate::Node;
use crate::images::redis;

/// All that is made in the node, in memory.
const ROOT: &str = "/run/godwit-bench";
/// The parent of the containers' cgroups, and the beginning of all names.
const NAME: &str = "godwit-bench";
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 2);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 1);
const SCRIPT: &str = include_str!("floor.sh");
/// Where the agent keeps its CRIU.
const CRIU: &str = "/var/lib/godwit/criu";

/// One move by hand; microseconds.
#[derive(Debug, Clone, Copy)]
pub struct FloorRun {
    /// `runc pause`.
    pub pause_us: u64,
    /// `runc checkpoint`.
    pub checkpoint_us: u64,
    /// `runc restore`.
    pub restore_us: u64,
    /// From the start of `runc pause` to the end of `runc restore`.
    pub returned_us: u64,
    /// From the start of `runc pause` to the first answer that the client got afterwards.
    pub answered_us: u64,
    /// The client's largest time between two answers.
    pub gap_us: u64,
    /// What CRIU says of the dump.
    pub dump: CriuDump,
    /// What CRIU says of the restore.
    pub restore: CriuRestore,
}

/// A Redis that can be moved again and again.
#[derive(Debug)]
pub struct Floor<'a> {
    node: Node<'a>,
    config: Value,
    generation: u32,
    client: Option<Client>,
}

impl<'a> Floor<'a> {
    /// Starts Redis with `mebibytes` of data; `config` is the OCI configuration of a container of a Redis pod of `node`, which must live as long.
    pub fn start(node: Node<'a>, config: Value, mebibytes: u32) -> Result<Self> {
        Self::of_image(node, config, redis::IMAGE, mebibytes)
    }

    /// The same with another image, whose program answers on port 6379 as Redis does; `mebibytes` is 0 if it cannot be
    /// filled from outside.
    pub fn of_image(node: Node<'a>, config: Value, image: &str, mebibytes: u32) -> Result<Self> {
        ensure!(
            node.path(CRIU).join("criu").exists(),
            "no {CRIU}/criu on {}: Godwit's agent is not installed (`cargo e2e install`)",
            node.name()
        );
        let mut floor = Self {
            node,
            config,
            generation: 0,
            client: None,
        };
        floor.clear();
        floor.begin(image, mebibytes)?;
        Ok(floor)
    }

    fn begin(&mut self, image: &str, mebibytes: u32) -> Result<()> {
        let roots: Vec<String> = (0..2).map(|side| format!("{ROOT}/rootfs{side}")).collect();
        for rootfs in &roots {
            self.sh(&format!(
                "mkdir -p {rootfs} && ctr --namespace k8s.io images mount --rw {image} {rootfs}"
            ))?;
        }
        self.sh(&format!("ip address add {CLIENT}/32 dev lo"))?;
        self.network(0)?;
        self.bundle(0)?;
        self.sh(&format!("ip route replace {}", route(0)))?;
        self.sh(&format!(
            "runc --root {ROOT}/runc run --detach --bundle {} {} </dev/null >/dev/null 2>&1",
            bundle(0),
            container(0)
        ))?;
        let mut connection = self.connect()?;
        connection.fill(mebibytes)?;
        self.client = Some(Client::start(connection));
        Ok(())
    }

    /// A further connection to it, which lives on as the first one does.
    pub fn connect(&self) -> Result<Connection> {
        let address = SocketAddr::from((SERVER, 6379));
        let mut tries = 0;
        let stream = loop {
            let connected = self
                .node
                .in_network(|| Ok(TcpStream::connect_timeout(&address, Duration::from_secs(2))?));
            match connected {
                Ok(stream) => break stream,
                Err(error) if tries == 50 => return Err(error).context("connect to the Redis of the floor"),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
            tries += 1;
        };
        Connection::new(stream)
    }

    /// Moves it once.
    pub fn run(&mut self) -> Result<FloorRun> {
        let (from, to) = (self.generation, self.generation + 1);
        self.network(to)?;
        self.bundle(to)?;
        let (images, work) = (format!("{ROOT}/images"), format!("{ROOT}/work"));
        self.sh(&format!("rm -rf {images} {work} && mkdir -p {images} {work}"))?;
        let client = self.client.as_mut().context("the floor has no client")?;
        client.begin();
        std::thread::sleep(Duration::from_millis(500));
        let output = self
            .node
            .command("bash")
            .args(["-c", SCRIPT])
            .env("SOURCE", &container(from))
            .env("TARGET", &container(to))
            .env("BUNDLE", &bundle(to))
            .env("IMAGES", &images)
            .env("WORK", &work)
            .env("ROUTE", &route(to))
            .env("RUNC_ROOT", &format!("{ROOT}/runc"))
            .env(
                "PATH",
                &format!("{CRIU}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            )
            .env("CRIU_CONFIG_FILE", &format!("{CRIU}/godwit.conf"))
            .output()?;
        if !output.status.success() {
            bail!(
                "the floor's move: {}\n{}{}",
                output.status,
                String::from_utf8_lossy(&output.stderr),
                self.sh(&format!(
                    "cat {work}/*.err; grep -h Error {work}/*.log | head -5; true"
                ))
                .unwrap_or_default()
            );
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let times = text
            .split_whitespace()
            .map(microseconds)
            .collect::<Option<Vec<_>>>();
        let Some([began, paused, dumped, restored]) = times.as_deref() else {
            bail!("the floor's script wrote `{text}`");
        };
        let seen = client.answered_after(*paused)?;
        std::thread::sleep(Duration::from_millis(50));
        client.end()?;
        let stats = |name: &str| std::fs::read(self.node.path(&format!("{work}/{name}"))).unwrap_or_default();
        let run = FloorRun {
            pause_us: paused - began,
            checkpoint_us: dumped - paused,
            restore_us: restored - dumped,
            returned_us: restored - began,
            answered_us: seen.gap_end_us - began,
            gap_us: seen.gap_us,
            dump: criu_stats::dump(&stats("stats-dump")).unwrap_or_default(),
            restore: criu_stats::restore(&stats("stats-restore")).unwrap_or_default(),
        };
        self.generation = to;
        self.forget(from)?;
        Ok(run)
    }

    /// Copies CRIU's logs of the last move into `dir`.
    pub fn keep(&self, dir: &Path) -> Result<()> {
        for name in ["dump.log", "restore.log"] {
            let from = self.node.path(&format!("{ROOT}/work/{name}"));
            std::fs::copy(&from, dir.join(format!("floor-{name}")))
                .with_context(|| format!("read {}", from.display()))?;
        }
        Ok(())
    }

    /// A network namespace with the server's address, whose end of connections is never told to anybody.
    fn network(&self, generation: u32) -> Result<()> {
        let (file, link) = (namespace(generation), link(generation));
        let ours = "02:67:77:74:00:01";
        let its = "02:67:77:74:00:02";
        // Not `ip netns add`: that mounts over /run/netns, and containerd could not remove its own there any more.
        self.sh(&format!(
            "touch {file}
             unshare --net={file} true
             ip link add {link} address {ours} type veth peer name eth0 address {its} netns {file}
             ip link set {link} up
             ip neighbour replace {SERVER} lladdr {its} dev {link} nud permanent
             echo 0 > /proc/sys/net/ipv4/conf/{link}/rp_filter
             nsenter --net={file} sh -ec '
                 ip address add {SERVER}/24 dev eth0
                 ip link set lo up
                 ip link set eth0 up
                 ip neighbour replace {CLIENT} lladdr {ours} dev eth0 nud permanent
                 # The clocks of the two namespaces are one; what the frozen socket says late must not make the new one look old.
                 echo 0 > /proc/sys/net/ipv4/tcp_timestamps
                 iptables --wait --append OUTPUT --protocol tcp --tcp-flags RST RST --jump DROP
                 iptables --wait --append OUTPUT --protocol tcp --tcp-flags FIN FIN --jump DROP'"
        ))?;
        Ok(())
    }

    fn bundle(&self, generation: u32) -> Result<()> {
        let mut config = self.config.clone();
        config["root"] = json!({"path": format!("{ROOT}/rootfs{}", generation % 2)});
        config["linux"]["cgroupsPath"] = json!(format!("/{NAME}/{}", container(generation)));
        config["linux"]["namespaces"] = json!([
            {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
            {"type": "network", "path": namespace(generation)},
        ]);
        let dir = self.node.path(&bundle(generation));
        std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let file = dir.join("config.json");
        std::fs::write(&file, serde_json::to_vec(&config)?)
            .with_context(|| format!("write {}", file.display()))
    }

    /// Ends the frozen container of a past generation, with its network.
    fn forget(&self, generation: u32) -> Result<()> {
        let file = namespace(generation);
        self.sh(&format!(
            "runc --root {ROOT}/runc delete --force {}; umount {file}; rm -r {file} {}",
            container(generation),
            bundle(generation)
        ))?;
        Ok(())
    }

    /// Takes all away, also what a killed run left.
    fn clear(&mut self) {
        self.client = None;
        let cleared = self.sh(&format!(
            "set +e
             for state in {ROOT}/runc/*/; do [ -d \"$state\" ] && runc --root {ROOT}/runc delete --force $(basename $state); done
             for file in {ROOT}/network*; do [ -e $file ] && umount $file; done
             for link in $(ip -o link | grep -o 'gwtb[0-9]*' | sort -u); do ip link delete $link; done
             ip address delete {CLIENT}/32 dev lo 2>/dev/null
             for side in 0 1; do
                 mountpoint -q {ROOT}/rootfs$side && ctr --namespace k8s.io images unmount --rm {ROOT}/rootfs$side
             done
             find /sys/fs/cgroup -depth -type d -path '*/{NAME}*' -exec rmdir {{}} + 2>/dev/null
             rm -rf {ROOT}
             true"
        ));
        if let Err(error) = cleared {
            eprintln!("the floor could not be cleared away: {error:#}");
        }
    }

    fn sh(&self, script: &str) -> Result<String> {
        self.node.exec(["bash", "-ec", script])
    }
}

impl Drop for Floor<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The OCI configuration of the container with that ID.
pub fn oci_config(node: Node<'_>, id: &str) -> Result<Value> {
    let path: PathBuf = Path::new("/run/containerd/io.containerd.runtime.v2.task/k8s.io")
        .join(id)
        .join("config.json");
    let path = node.path(&path.to_string_lossy());
    let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn container(generation: u32) -> String {
    format!("{NAME}-{generation}")
}

fn namespace(generation: u32) -> String {
    format!("{ROOT}/network{generation}")
}

fn link(generation: u32) -> String {
    format!("gwtb{generation}")
}

fn bundle(generation: u32) -> String {
    format!("{ROOT}/bundle{generation}")
}

fn route(generation: u32) -> String {
    format!("{SERVER}/32 dev {} src {CLIENT}", link(generation))
}

/// bash's EPOCHREALTIME in microseconds.
fn microseconds(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.')?;
    if fraction.len() != 6 {
        return None;
    }
    Some(seconds.parse::<u64>().ok()? * 1_000_000 + fraction.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shells_clock() {
        assert_eq!(microseconds("1700000000.000123"), Some(1_700_000_000_000_123));
        assert_eq!(microseconds("1700000000"), None);
        assert_eq!(microseconds("17.1"), None);
    }
}
