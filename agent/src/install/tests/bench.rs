//! A node in a directory, with an engine that reads its files as containerd does.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use super::super::containerd::ConfigSet;
use super::super::*;

pub const V3: &str = "# the node's own comment\nversion = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]\n  runtime_type = 'io.containerd.runc.v2' # kept\n  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\n    SystemdCgroup = true\n";
pub const V2: &str = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n  runtime_type = \"io.containerd.runc.v2\"\n  privileged_without_host_devices = true\n  [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n    SystemdCgroup = true\n    BinaryName = \"/usr/sbin/runc\"\n# last line, no newline";

/// A node in a directory. The engine has loaded what was in its files when it was last started.
pub struct FakeNode {
    root: PathBuf,
    pid: AtomicI32,
    loaded: Mutex<Vec<String>>,
    /// Restarted, it does not come back with the handler.
    pub stubborn: AtomicBool,
    /// Does not answer until the next restart.
    pub crashes: AtomicBool,
    pub memory: AtomicBool,
    pub call_group: AtomicBool,
    pub mounts: Mutex<Vec<PathBuf>>,
    pub dump: Mutex<Option<String>>,
}

impl FakeNode {
    pub fn new(root: &Path) -> Self {
        let node = Self {
            root: root.to_owned(),
            pid: AtomicI32::new(100),
            loaded: Mutex::default(),
            stubborn: AtomicBool::new(false),
            crashes: AtomicBool::new(false),
            memory: AtomicBool::new(true),
            mounts: Mutex::default(),
            call_group: AtomicBool::new(false),
            dump: Mutex::default(),
        };
        node.load();
        node
    }

    fn load(&self) {
        let set = ConfigSet::read(&self.root, Path::new(CONFIG)).unwrap();
        let handlers = set.files().flat_map(|file| {
            ["io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"]
                .into_iter()
                .flat_map(|section| {
                    let runtimes = &file.value["plugins"][section]["containerd"]["runtimes"];
                    runtimes
                        .as_object()
                        .into_iter()
                        .flatten()
                        .map(|(name, _)| name.clone())
                        .collect::<Vec<_>>()
                })
        });
        *self.loaded.lock().unwrap() = handlers.collect();
    }

    pub fn restarts(&self) -> i32 {
        self.pid.load(Ordering::SeqCst) - 100
    }
}

pub const CONFIG: &str = "/etc/containerd/config.toml";

impl NodeOps for FakeNode {
    fn in_memory(&self, _path: &Path) -> io::Result<bool> {
        Ok(self.memory.load(Ordering::SeqCst) || !self.mounts.lock().unwrap().is_empty())
    }
    async fn mount_tmpfs(&self, host_path: &Path) -> Result<(), NodeError> {
        self.mounts.lock().unwrap().push(host_path.to_owned());
        Ok(())
    }
    fn make_call_group(&self) -> Result<(), NodeError> {
        self.call_group.store(true, Ordering::SeqCst);
        Ok(())
    }
    fn remove_call_group(&self) -> Result<(), NodeError> {
        self.call_group.store(false, Ordering::SeqCst);
        Ok(())
    }
    async fn unmount(&self, _host_path: &Path) -> Result<(), NodeError> {
        self.mounts.lock().unwrap().clear();
        Ok(())
    }
    async fn engine(&self) -> Result<EngineProcess, NodeError> {
        if self.crashes.load(Ordering::SeqCst) {
            return Err(NodeError::Cri {
                message: "connection refused".to_owned(),
            });
        }
        Ok(EngineProcess {
            kind: EngineKind::Containerd,
            pid: self.pid.load(Ordering::SeqCst),
            binary: "/usr/bin/containerd".into(),
            config: CONFIG.into(),
            major: Some(2),
        })
    }
    async fn handlers(&self) -> Result<Vec<String>, NodeError> {
        Ok(self.loaded.lock().unwrap().clone())
    }
    async fn merged_config(&self, _engine: &EngineProcess) -> Option<Result<String, NodeError>> {
        self.dump.lock().unwrap().clone().map(Ok)
    }
    async fn restart(&self, _engine: &EngineProcess) -> Result<(), NodeError> {
        self.pid.fetch_add(1, Ordering::SeqCst);
        if !self.stubborn.load(Ordering::SeqCst) {
            self.load();
        }
        Ok(())
    }
}

/// A node, its payload, and an installation with a short limit.
pub struct Bench {
    pub directory: tempfile::TempDir,
    pub node: FakeNode,
    pub installation: Installation,
}

impl Bench {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (root, payload) = (directory.path().join("root"), directory.path().join("payload"));
        for path in ["etc/containerd", "run", "var/lib"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        for (path, text) in files {
            let path = under(&root, path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        for (path, text, mode) in [
            ("bin/godwit-runtime", "runtime 1", 0o755),
            ("bin/godwit-park", "park", 0o555),
            ("bin/godwit-pages", "pages", 0o755),
            ("criu/criu", "relay", 0o755),
            ("criu/real/criu", "criu", 0o755),
            ("criu/real/lib/libnl-3.so.200.1", "library", 0o644),
        ] {
            let path = payload.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink("libnl-3.so.200.1", payload.join("criu/real/lib/libnl-3.so.200")).unwrap();
        let node = FakeNode::new(&root);
        let mut installation = Installation::new(&root, &payload);
        installation.restart_limit = Duration::from_millis(300);
        Self {
            directory,
            node,
            installation,
        }
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(under(&self.root(), path)).unwrap()
    }

    pub async fn install(&self) -> Result<Installed, InstallError> {
        self.installation.install(&self.node).await
    }

    pub async fn uninstall(&self) -> Result<bool, InstallError> {
        uninstall(&self.installation, &self.node, Vec::new()).await
    }

    /// Everything below the root: path → kind, mode, content.
    pub fn tree(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut tree = BTreeMap::new();
        walk(&self.root(), &mut |path, metadata| {
            let content = if metadata.is_file() {
                fs::read(path).unwrap()
            } else {
                Vec::new()
            };
            tree.insert(path.to_owned(), (metadata.mode(), content));
        });
        tree
    }

    /// Inode and change time of everything below the root.
    pub fn identity(&self) -> BTreeMap<PathBuf, (u64, i64, i64)> {
        let mut identity = BTreeMap::new();
        walk(&self.root(), &mut |path, metadata| {
            identity.insert(
                path.to_owned(),
                (metadata.ino(), metadata.ctime(), metadata.ctime_nsec()),
            );
        });
        identity
    }
}

fn walk(path: &Path, visit: &mut impl FnMut(&Path, &fs::Metadata)) {
    let metadata = fs::symlink_metadata(path).unwrap();
    visit(path, &metadata);
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), visit);
        }
    }
}

pub fn layouts() -> Vec<Vec<(&'static str, &'static str)>> {
    const IMPORTING: &str = "version = 3\nimports = ['/etc/containerd/conf.d/*.toml']\n";
    vec![
        vec![(CONFIG, V3)],
        vec![(CONFIG, V2)],
        vec![(CONFIG, IMPORTING), ("/etc/containerd/conf.d/own.toml", V3)],
        vec![
            (
                CONFIG,
                "version = 2\nimports = ['/etc/containerd/conf.d/*.toml']\n",
            ),
            ("/etc/containerd/conf.d/own.toml", V2),
        ],
        vec![],
    ]
}
