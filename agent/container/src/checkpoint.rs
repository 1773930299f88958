//! The call that dumps a container.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use godwit_proc::bounded;

use crate::call::RuntimeCall;
use crate::cgroup::Freezer;
use crate::cri::socket;
use crate::discover::ContainerOnNode;
use crate::host::Host;

/// Where programs are looked for after the container runtime's own PATH.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/libexec/crio";
/// Godwit's own OCI runtime, which is configured for its `RuntimeClass` and passes on to the one that is looked for here.
const WRAPPER: &str = "godwit-runtime";
const ENVIRON_LIMIT: usize = 1 << 20;

/// Why the OCI runtime could not be found.
#[derive(Debug, thiserror::Error)]
#[error("no runc on this node: looked in {looked}")]
pub struct RuncNotFound {
    /// The directories.
    looked: String,
}

impl RuncNotFound {
    /// A stable reason.
    pub fn reason(&self) -> &'static str {
        "RuncNotFound"
    }
}

/// The PATH that programs of the node are looked for in: the container runtime's (whose socket is given), then the usual one.
pub async fn search_path(host: &Host, socket: &Path) -> String {
    let of_runtime = match socket::listener(socket).await {
        Ok(pid) => environment_path(host, pid).unwrap_or_default(),
        Err(_) => None,
    };
    of_runtime.map_or_else(|| USUAL_PATH.to_owned(), |path| format!("{path}:{USUAL_PATH}"))
}

fn environment_path(host: &Host, pid: i32) -> io::Result<Option<String>> {
    let bytes = bounded::read(&host.process(pid).join("environ"), ENVIRON_LIMIT)?;
    let found = bytes
        .split(|&byte| byte == 0)
        .find_map(|entry| entry.strip_prefix(b"PATH="));
    Ok(found.map(|path| String::from_utf8_lossy(path).into_owned()))
}

/// The real OCI runtime of a container, in the host's view: the configured one, unless that is Godwit's own, else runc in `search_path`.
pub fn find_runc(host: &Host, search_path: &str, configured: Option<&Path>) -> Result<PathBuf, RuncNotFound> {
    let configured = configured.filter(|path| !path.ends_with(WRAPPER));
    let name = configured.unwrap_or(Path::new("runc"));
    // An absolute name replaces the directory.
    let mut places = search_path
        .split(':')
        .filter(|place| place.starts_with('/'))
        .map(|place| Path::new(place).join(name));
    places
        .find(|place| resolves(host, place))
        .ok_or_else(|| RuncNotFound {
            looked: search_path.to_owned(),
        })
}

/// Whether the host has a file at `place`. Absolute symbolic links below the host's root would be followed from this process's own, so each step is
/// taken by hand.
fn resolves(host: &Host, place: &Path) -> bool {
    let mut place = place.to_owned();
    for _ in 0..8 {
        let reached = host.path(&place);
        match std::fs::read_link(&reached) {
            Ok(target) => place = place.parent().unwrap_or(Path::new("/")).join(target),
            Err(_) => return reached.is_file(),
        }
    }
    false
}

/// All that a checkpoint needs to know. Paths are in the host's view.
#[derive(Debug, Clone)]
pub struct Checkpoint<'a> {
    /// The OCI runtime.
    pub runc: &'a Path,
    /// The container.
    pub container: &'a ContainerOnNode,
    /// Its freezer: a stuck CRIU is ended only after it says FROZEN.
    pub freezer: &'a Freezer,
    /// Where the images go; exists.
    pub image_dir: &'a Path,
    /// Where CRIU's log goes; exists.
    pub work_dir: &'a Path,
    /// Where the relay waits before it lets the dump begin (see the launcher in godwit-runtime); exists.
    pub gate_dir: &'a Path,
    /// Until when the relay waits there, milliseconds since 1970.
    pub gate_deadline_ms: u64,
    /// The directory that holds Godwit's `criu`.
    pub criu_dir: &'a Path,
    /// CRIU's configuration.
    pub criu_config: &'a Path,
    /// The PATH for all else, as [`search_path`] gives it.
    pub search_path: &'a str,
    /// Whether the content of private anonymous memory is left out (`GODWIT_LAZY`, see `godwit_runtime::relay`): the pagemaps call those
    /// pages lazy, and the caller dumps them itself. Else it is in the images too.
    pub lazy: bool,
    /// How long the whole may take, the wait at the gate included.
    pub deadline: Duration,
}

impl Checkpoint<'_> {
    /// The call: the container is left as it was found (frozen, if it was frozen), whatever comes of the dump.
    pub fn call(&self, host: &Host) -> RuntimeCall {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut argv = vec![
            text(self.runc),
            "--root".into(),
            text(&self.container.runc_root),
            "checkpoint".into(),
        ];
        for flag in ["--leave-running", "--tcp-established", "--file-locks"] {
            argv.push(flag.into());
        }
        for (option, path) in [("--image-path", self.image_dir), ("--work-path", self.work_dir)] {
            argv.extend([option.into(), text(path)]);
        }
        argv.push(self.container.id.clone());
        let mut call = RuntimeCall::new(argv, self.deadline);
        call.env.extend([
            (
                "PATH".into(),
                format!("{}:{}", text(self.criu_dir), self.search_path),
            ),
            ("GODWIT_GATE_DIR".into(), text(self.gate_dir)),
            (
                "GODWIT_GATE_DEADLINE_MS".into(),
                self.gate_deadline_ms.to_string(),
            ),
            ("CRIU_CONFIG_FILE".into(), text(self.criu_config)),
        ]);
        if self.lazy {
            call.env.insert("GODWIT_LAZY".into(), "1".into());
        }
        call.freeze_first = Some(self.freezer.clone());
        call.host = host.clone();
        call
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::cgroup::Version;

    /// A host whose root is a directory of the test.
    fn host(proc: &Path) -> Host {
        std::fs::create_dir_all(proc.join("1/root/usr/bin")).unwrap();
        Host {
            proc: proc.to_owned(),
            pid: 1,
        }
    }

    #[test]
    fn runc_is_found_by_path_through_absolute_links_of_the_host() {
        let dir = tempfile::tempdir().unwrap();
        let host = host(dir.path());
        std::fs::create_dir_all(host.path(Path::new("/opt/bin"))).unwrap();
        symlink("/opt/bin/runc-1", host.path(Path::new("/usr/bin/runc"))).unwrap();
        assert_eq!(
            find_runc(&host, "/sbin:/usr/bin", None).unwrap_err().reason(),
            "RuncNotFound"
        );
        std::fs::write(host.path(Path::new("/opt/bin/runc-1")), "").unwrap();
        assert_eq!(
            find_runc(&host, "/sbin:/usr/bin", None).unwrap(),
            Path::new("/usr/bin/runc")
        );
    }

    #[test]
    fn a_configured_runtime_is_taken_unless_it_is_godwits_own() {
        let dir = tempfile::tempdir().unwrap();
        let host = host(dir.path());
        for name in ["/usr/bin/runc", "/usr/bin/crun", "/usr/bin/godwit-runtime"] {
            std::fs::write(host.path(Path::new(name)), "").unwrap();
        }
        let find = |name: &str| find_runc(&host, "/usr/bin", Some(Path::new(name))).unwrap();
        assert_eq!(find("/usr/bin/crun"), Path::new("/usr/bin/crun"));
        assert_eq!(find("crun"), Path::new("/usr/bin/crun"));
        assert_eq!(find("/usr/bin/godwit-runtime"), Path::new("/usr/bin/runc"));
    }

    #[test]
    fn a_loop_of_links_ends() {
        let dir = tempfile::tempdir().unwrap();
        let host = host(dir.path());
        symlink("/usr/bin/runc", host.path(Path::new("/usr/bin/runc"))).unwrap();
        assert!(find_runc(&host, "/usr/bin", None).is_err());
    }

    #[tokio::test]
    async fn the_runtimes_own_path_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listening = tokio::net::UnixListener::bind(&path).unwrap();
        let own = environment_path(&Host::default(), std::process::id().try_into().unwrap())
            .unwrap()
            .unwrap();
        assert_eq!(
            search_path(&Host::default(), &path).await,
            format!("{own}:{USUAL_PATH}")
        );
        assert_eq!(
            search_path(&Host::default(), Path::new("/nonexistent")).await,
            USUAL_PATH
        );
    }

    #[test]
    fn the_call_says_all_that_runc_and_the_relay_need() {
        let container = ContainerOnNode {
            name: "redis".into(),
            id: "c1".into(),
            pid: 7,
            image_ref: String::new(),
            image_id: String::new(),
            runtime_type: String::new(),
            runtime_binary: None,
            runc_root: "/run/containerd/runc/k8s.io".into(),
            bundle: "/b".into(),
            overlay: None,
            mounts: vec![],
            terminal: false,
            log_path: PathBuf::new(),
            cgroups: vec![],
        };
        let freezer = Freezer::at(Version::V2, Path::new("/g"));
        let mut checkpoint = Checkpoint {
            runc: Path::new("/usr/sbin/runc"),
            container: &container,
            freezer: &freezer,
            image_dir: Path::new("/i"),
            work_dir: Path::new("/w"),
            gate_dir: Path::new("/gate"),
            gate_deadline_ms: 1_900_000_000_000,
            criu_dir: Path::new("/var/lib/godwit/criu"),
            criu_config: Path::new("/var/lib/godwit/criu/godwit.conf"),
            search_path: "/usr/bin",
            lazy: false,
            deadline: Duration::from_mins(1),
        };
        let call = checkpoint.call(&Host::default());
        assert_eq!(
            call.argv.join(" "),
            "/usr/sbin/runc --root /run/containerd/runc/k8s.io checkpoint --leave-running --tcp-established \
             --file-locks --image-path /i --work-path /w c1"
        );
        let env: Vec<_> = call
            .env
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        assert_eq!(
            env,
            [
                "CRIU_CONFIG_FILE=/var/lib/godwit/criu/godwit.conf",
                "GODWIT_GATE_DEADLINE_MS=1900000000000",
                "GODWIT_GATE_DIR=/gate",
                "PATH=/var/lib/godwit/criu:/usr/bin",
            ]
        );
        assert_eq!(call.freeze_first.as_ref(), Some(&freezer));
        checkpoint.lazy = true;
        let lazy = checkpoint.call(&Host::default());
        assert_eq!(lazy.argv, call.argv);
        assert_eq!(lazy.env.get("GODWIT_LAZY").map(String::as_str), Some("1"));
    }
}
