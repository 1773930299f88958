//! Podman, as a user would do it today: checkpoint into an archive, restore from it. One machine, all of it in memory,
//! nothing compressed, and nothing in the time for bringing the archive to another node.
//!
//! It runs in mount and PID namespaces of its own, on a tree of its own (`recipes/podman`). It needs runc: crun refuses
//! machines whose controllers are in cgroup v1 with v2 beside them ("cgroups in hybrid mode not supported").

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::cell::{Cell, Program};
use super::godwit::{mebibytes, milliseconds};
use super::report::Report;
use super::ways::{Figures, Way};
use crate::bench::client::Connection;
use crate::cluster::spawn;
use crate::{command, images, recipes};

/// Where the tree is mounted together; nobody outside sees it.
const ROOT: &str = "/run/godwit-bench-podman";
/// The parent of its control groups.
const GROUP: &str = "godwit-bench-podman";
/// How long one command may take.
const LIMIT: &str = "300";
const PATIENCE: Duration = Duration::from_mins(1);
const NAME: &str = "subject";
const ARCHIVE: &str = "/run/checkpoint.tar";

const SETUP: &str = r#"set -e
mount -t tmpfs -o size=90% tmpfs "$ROOT"
mkdir "$ROOT/upper" "$ROOT/work" "$ROOT/root"
mount -t overlay -o "lowerdir=$TREE,upperdir=$ROOT/upper,workdir=$ROOT/work" overlay "$ROOT/root"
cd "$ROOT/root"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o size=90% tmpfs run
mount -t tmpfs -o size=90% tmpfs tmp
mkdir tmp/images tmp/old
mount --bind "$IMAGES" tmp/images
pivot_root . tmp/old
cd /
/bin/busybox umount -l /tmp/old
/bin/busybox touch /tmp/ready
exec /bin/busybox sleep 1000000
"#;

/// Moves the cell's program `runs` times, each time from an archive of its own.
pub(super) fn measure(cell: Cell, runs: u32, report: &mut Report) -> Result<()> {
    let archive = match cell.program {
        Program::Redis => images::redis::archive()?,
        Program::Pagewriter => images::workload::archive()?,
    };
    let podman = Podman::start(&archive)?;
    podman.begin(cell, &archive)?;
    for _ in 0..runs {
        let figures = podman.run()?;
        if cell.program == Program::Pagewriter {
            let answer = podman.connect()?.ask("verify")?;
            ensure!(answer.starts_with("ok "), "the memory is damaged: {answer}");
        }
        eprintln!(
            "    {}: {}",
            Way::Podman.name(),
            report.add(cell, Way::Podman, figures)
        );
    }
    Ok(())
}

struct Podman {
    /// `unshare`; all of it ends with it.
    holder: Child,
    /// The first process inside.
    init: i32,
}

impl Podman {
    fn start(archive: &Path) -> Result<Self> {
        let tree = recipes::podman::ensure()?;
        std::fs::create_dir_all(ROOT)?;
        let holder = command::contained("sh")
            .args(["-c", SETUP])
            .env("ROOT", ROOT)
            .env("TREE", &tree)
            .env("IMAGES", archive.parent().unwrap_or(archive))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("start the place for podman")?;
        let mut podman = Self { holder, init: 0 };
        let began = Instant::now();
        while !podman.path("/tmp/ready").exists() || podman.init == 0 {
            ensure!(
                began.elapsed() < PATIENCE && podman.holder.try_wait()?.is_none(),
                "the place for podman could not be made"
            );
            std::thread::sleep(Duration::from_millis(20));
            let id = podman.holder.id();
            let children =
                std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
            podman.init = children
                .split_whitespace()
                .next()
                .and_then(|pid| pid.parse().ok())
                .unwrap_or(0);
        }
        Ok(podman)
    }

    /// A file inside, as it is called outside.
    fn path(&self, inner: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.init)).join(inner.trim_start_matches('/'))
    }

    /// Runs podman; gives what it wrote.
    fn podman(&self, words: &[&str]) -> Result<String> {
        let mut nsenter = Command::new("nsenter");
        nsenter
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1")
            .args(["--target", &self.init.to_string(), "--mount", "--pid", "--"])
            .args(["timeout", "--kill-after=5", LIMIT, "podman"])
            .args([
                "--root",
                "/run/store",
                "--runroot",
                "/run/runroot",
                "--storage-driver",
                "overlay",
            ])
            .args([
                "--cgroup-manager",
                "cgroupfs",
                "--events-backend",
                "none",
                "--runtime",
                "runc",
            ])
            .args(words);
        command::output(&mut nsenter)
    }

    fn begin(&self, cell: Cell, archive: &Path) -> Result<()> {
        let file = archive.file_name().unwrap_or_default().to_string_lossy();
        let pulled = self.podman(&["pull", "--quiet", &format!("oci-archive:/tmp/images/{file}")])?;
        let image = pulled
            .lines()
            .last()
            .context("podman names no image")?
            .trim()
            .to_owned();
        let group = format!("--cgroup-parent=/{GROUP}");
        let mut words = vec![
            "run",
            "--detach",
            "--name",
            NAME,
            "--network",
            "none",
            "--security-opt",
            "seccomp=unconfined",
            "--pull",
            "never",
            &group,
            &image,
        ];
        let command = cell.command();
        words.extend(command.iter().map(String::as_str));
        self.podman(&words)?;
        let mut connection = self.connect()?;
        connection.fill(cell.fill())
    }

    /// A connection over the container's loopback.
    fn connect(&self) -> Result<Connection> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 6379));
        let began = Instant::now();
        loop {
            let connected = self
                .network()
                .and_then(|file| {
                    // Podman restores a container without a network with its loopback down.
                    let net = format!("--net={}", file.display());
                    command::output(Command::new("nsenter").args([&net, "ip", "link", "set", "lo", "up"]))?;
                    spawn::in_network(&file, || Ok(TcpStream::connect(address)?))
                })
                .and_then(Connection::new)
                .and_then(|mut connection| connection.ask("INCR counter").map(|_| connection));
            match connected {
                Ok(connection) => return Ok(connection),
                Err(error) if began.elapsed() > PATIENCE => {
                    return Err(error).context("connect to podman's container");
                }
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// The container's network namespace, as a file.
    fn network(&self) -> Result<PathBuf> {
        let pid = self.podman(&["inspect", "--format", "{{.State.Pid}}", NAME])?;
        Ok(self.path(&format!("/proc/{}/ns/net", pid.trim())))
    }

    /// Away and back: from the beginning of the checkpoint to the first answer after the restore.
    fn run(&self) -> Result<Figures> {
        let began = Instant::now();
        self.podman(&[
            "container",
            "checkpoint",
            "--export",
            ARCHIVE,
            "--compress",
            "none",
            "--tcp-established",
            "--file-locks",
            NAME,
        ])?;
        let written = began.elapsed();
        let size = std::fs::metadata(self.path(ARCHIVE))?.len();
        // It frees memory; on another machine there would be nothing.
        self.podman(&["rm", "--force", NAME])?;
        let restored = Instant::now();
        self.podman(&[
            "container",
            "restore",
            "--import",
            ARCHIVE,
            "--tcp-established",
            "--file-locks",
        ])?;
        self.connect()?;
        let gap = written + restored.elapsed();
        std::fs::remove_file(self.path(ARCHIVE))?;
        let gap = milliseconds(u64::try_from(gap.as_micros())?);
        Ok(Figures {
            freeze_ms: Some(gap),
            gap_ms: Some(gap),
            total_ms: Some(gap),
            sent_mib: Some(mebibytes(size)),
            ..Figures::default()
        })
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        if let Err(error) = self.podman(&["rm", "--force", "--all", "--time", "0"]) {
            eprintln!("podman's container: {error:#}");
        }
        // unshare passes it on to the first process inside, and with that all others go.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        let _ = std::fs::remove_dir(ROOT);
        // conmon ends a moment later.
        let began = Instant::now();
        while let Err(error) = remove_groups() {
            if began.elapsed() > Duration::from_secs(10) {
                eprintln!("podman's control groups: {error:#}");
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn remove_groups() -> Result<()> {
    let script = format!(
        "for group in /sys/fs/cgroup/*/{GROUP} /sys/fs/cgroup/{GROUP}; do
             if [ -d $group ]; then find $group -depth -type d -exec rmdir {{}} ';'; [ ! -d $group ]; fi || exit 1
         done"
    );
    command::output(Command::new("sh").args(["-c", &script])).map(drop)
}
