//! The node itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use godwit_container::call::GROUP;
use godwit_container::cgroup::{OwnGroup, Parent};
use godwit_container::cri::{Cri, CriError};
use godwit_container::host::Host;
use nix::sys::signal::{Signal, kill};
use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use nix::unistd::Pid;
use tokio::net::UnixStream;

use super::host_command;
use super::node::{EngineKind, EngineProcess, NodeError, NodeOps};
use super::paths::under;
use crate::failure::chain;

/// Sockets at which engines serve CRI, on the host.
const SOCKETS: [&str; 3] = [
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/crio/crio.sock",
];
/// Configuration file of containerd unless its command line says otherwise.
const CONTAINERD_CONFIG: &str = "/etc/containerd/config.toml";
/// Limit for short programs on the host.
const SHORT: Duration = Duration::from_secs(10);
/// Limit for `systemctl restart`, which waits until containerd says that it is ready.
const RESTART: Duration = Duration::from_secs(90);
/// Limit for one answer of the engine: it is asked again and again while it starts.
const STATUS: Duration = Duration::from_secs(5);
/// `ramfs`, from linux/magic.h.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

/// The node whose root is seen at `root`, with the host's PID namespace in `/proc`.
#[derive(Debug, Clone)]
pub struct HostNode {
    root: PathBuf,
}

impl HostNode {
    /// A node seen through `root`: `/proc/1/root`, or `/` on the host itself.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The engine's CRI socket, as seen by the agent; an error if there is none.
    pub fn cri_socket(&self) -> Result<PathBuf, NodeError> {
        SOCKETS
            .iter()
            .map(|socket| under(&self.root, socket))
            .find(|socket| socket.exists())
            .ok_or_else(|| NodeError::NoEngine {
                looked_at: SOCKETS.join(", "),
            })
    }

    async fn major(&self, binary: &Path) -> Option<u32> {
        let binary = binary.to_str()?;
        let text = host_command::run(&self.root, &[binary, "--version"], SHORT)
            .await
            .ok()?;
        major_of(&text)
    }
}

async fn handlers(socket: &Path) -> Result<Vec<String>, CriError> {
    Cri::connect(socket).await?.handlers().await
}

fn call_group() -> Result<OwnGroup, NodeError> {
    Ok(OwnGroup::new(&Host::default(), Parent::Root, GROUP)?)
}

impl NodeOps for HostNode {
    fn in_memory(&self, path: &Path) -> io::Result<bool> {
        let kind = statfs(path)?.filesystem_type();
        Ok(kind == TMPFS_MAGIC || kind == RAMFS_MAGIC)
    }

    async fn mount_tmpfs(&self, host_path: &Path) -> Result<(), NodeError> {
        let path = host_path.to_string_lossy();
        let argv = [
            "mount",
            "-t",
            "tmpfs",
            "-o",
            "mode=0700,nosuid,nodev",
            "godwit",
            &path,
        ];
        host_command::run(&self.root, &argv, SHORT).await.map(drop)
    }

    async fn unmount(&self, host_path: &Path) -> Result<(), NodeError> {
        let path = host_path.to_string_lossy();
        let argv = ["sh", "-c", "! mountpoint -q \"$0\" || umount \"$0\"", &path];
        host_command::run(&self.root, &argv, SHORT).await.map(drop)
    }

    fn make_call_group(&self) -> Result<(), NodeError> {
        Ok(call_group()?.make()?)
    }

    fn remove_call_group(&self) -> Result<(), NodeError> {
        if !call_group()?.remove_if_empty()? {
            tracing::warn!("the control group of runtime calls is still in use: it stays");
        }
        Ok(())
    }

    async fn engine(&self) -> Result<EngineProcess, NodeError> {
        let socket = self.cri_socket()?;
        let silent = |error: io::Error| NodeError::Cri {
            message: error.to_string(),
        };
        // Whoever listens there is the engine: exact also where several containerds run (Docker has its own).
        let stream = UnixStream::connect(&socket).await.map_err(silent)?;
        let pid = stream.peer_cred().map_err(silent)?.pid().unwrap_or(0);
        let lost = |source| NodeError::Process { pid, source };
        let binary = fs::read_link(format!("/proc/{pid}/exe")).map_err(lost)?;
        // A binary that has been replaced since shows as deleted; the new one lies at the same path.
        let binary = PathBuf::from(binary.to_string_lossy().trim_end_matches(" (deleted)"));
        let kind = match binary.file_name().and_then(|name| name.to_str()) {
            Some("containerd" | "k3s" | "rke2") => EngineKind::Containerd,
            Some("crio") => EngineKind::Crio,
            _ => return Err(NodeError::UnknownEngine { socket, binary }),
        };
        let cmdline = fs::read(format!("/proc/{pid}/cmdline")).map_err(lost)?;
        let config = config_argument(&cmdline).unwrap_or_else(|| PathBuf::from(CONTAINERD_CONFIG));
        let major = self.major(&binary).await;
        Ok(EngineProcess {
            kind,
            pid,
            binary,
            config,
            major,
        })
    }

    async fn handlers(&self) -> Result<Vec<String>, NodeError> {
        let socket = self.cri_socket()?;
        match tokio::time::timeout(STATUS, handlers(&socket)).await {
            Ok(Ok(names)) => Ok(names),
            Ok(Err(error)) => Err(NodeError::Cri {
                message: chain(&error),
            }),
            Err(_) => Err(NodeError::Cri {
                message: format!("no answer within {} s", STATUS.as_secs()),
            }),
        }
    }

    async fn merged_config(&self, engine: &EngineProcess) -> Option<Result<String, NodeError>> {
        let (binary, config) = (engine.binary.to_str()?, engine.config.to_str()?);
        if engine.binary.file_name()? != "containerd" {
            return None;
        }
        let mut argv = vec![binary, "config", "dump"];
        if under(&self.root, &engine.config).exists() {
            argv.splice(1..1, ["--config", config]);
        }
        Some(host_command::run(&self.root, &argv, SHORT).await)
    }

    async fn restart(&self, engine: &EngineProcess) -> Result<(), NodeError> {
        let lost = |source| NodeError::Process {
            pid: engine.pid,
            source,
        };
        let cgroups = fs::read_to_string(format!("/proc/{}/cgroup", engine.pid)).map_err(lost)?;
        if under(&self.root, "/run/systemd/system").is_dir()
            && let Some(unit) = unit_of(&cgroups)
        {
            return host_command::run(&self.root, &["systemctl", "restart", unit], RESTART)
                .await
                .map(drop);
        }
        // No systemd: whatever supervises it starts it again. The PID was that of the socket's listener a moment ago; make
        // sure that it still is the same program.
        let binary = fs::read_link(format!("/proc/{}/exe", engine.pid)).map_err(lost)?;
        if !binary
            .to_string_lossy()
            .starts_with(&*engine.binary.to_string_lossy())
        {
            return Err(lost(io::Error::other(
                "the process has been replaced by another program",
            )));
        }
        kill(Pid::from_raw(engine.pid), Signal::SIGTERM).map_err(|error| lost(error.into()))
    }
}

/// Value of `--config` or `-c` in a command line as `/proc` has it.
fn config_argument(cmdline: &[u8]) -> Option<PathBuf> {
    let arguments: Vec<&str> = cmdline
        .split(|byte| *byte == 0)
        .filter_map(|part| str::from_utf8(part).ok())
        .collect();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.trim_start_matches('-') {
            "config" | "c" if argument.starts_with('-') => {
                return arguments
                    .next()
                    .filter(|value| !value.is_empty())
                    .map(PathBuf::from);
            }
            rest if argument.starts_with('-') => {
                if let Some(value) = rest.strip_prefix("config=").or_else(|| rest.strip_prefix("c=")) {
                    return Some(PathBuf::from(value));
                }
            }
            _ => {}
        }
    }
    None
}

/// First number of the version in `containerd github.com/containerd/containerd/v2 2.1.9 <commit>`.
fn major_of(text: &str) -> Option<u32> {
    let version = text.split_whitespace().nth(2)?;
    version.trim_start_matches('v').split('.').next()?.parse().ok()
}

/// The systemd service of a process by its cgroups (v1: the hierarchy `name=systemd`; v2: the only line).
fn unit_of(cgroups: &str) -> Option<&str> {
    cgroups
        .lines()
        .filter_map(|line| {
            line.strip_prefix("0::")
                .or_else(|| line.split_once(":name=systemd:").map(|(_, path)| path))
        })
        .find_map(|path| path.split('/').rev().find(|part| part.ends_with(".service")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_file_is_taken_from_the_command_line() {
        let config = |cmdline: &[u8]| config_argument(cmdline);
        assert_eq!(
            config(b"containerd\0--config\0/a/b.toml\0"),
            Some("/a/b.toml".into())
        );
        assert_eq!(
            config(b"containerd\0-c=/a/c.toml\0--log-level\0debug\0"),
            Some("/a/c.toml".into())
        );
        assert_eq!(config(b"/usr/bin/containerd\0"), None);
        assert_eq!(config(b"containerd\0config\0dump\0"), None);
        assert_eq!(config(b"containerd\0--config\0"), None);
    }

    #[test]
    fn the_major_version_is_read() {
        assert_eq!(
            major_of("containerd github.com/containerd/containerd/v2 2.1.9+unknown \n"),
            Some(2)
        );
        assert_eq!(
            major_of("containerd github.com/containerd/containerd v1.7.30 abc\n"),
            Some(1)
        );
        assert_eq!(major_of("nonsense"), None);
    }

    #[test]
    fn the_unit_is_found_under_both_cgroup_versions() {
        assert_eq!(
            unit_of("0::/system.slice/containerd.service\n"),
            Some("containerd.service")
        );
        let v1 = "5:memory:/system.slice/other.service\n1:name=systemd:/system.slice/k3s.service/x\n0::/\n";
        assert_eq!(unit_of(v1), Some("k3s.service"));
        assert_eq!(unit_of("4:cpu:/a\n0::/kubepods\n"), None);
    }

    #[tokio::test]
    async fn host_programs_fail_with_their_last_words() {
        let run = |argv: &'static [&'static str]| host_command::run(Path::new("/"), argv, SHORT);
        assert_eq!(run(&["echo", "here"]).await.unwrap(), "here\n");
        let error = run(&["sh", "-c", "echo first >&2; echo last >&2; exit 3"])
            .await
            .unwrap_err();
        assert_eq!(error.reason(), "HostCommandFailed");
        assert!(error.to_string().contains("last"), "{error}");
        assert_eq!(
            run(&["gwt-no-such-program"]).await.unwrap_err().reason(),
            "HostCommandFailed"
        );
    }
}
