//! Installing on made-up nodes: directories for roots, and an engine that reads its files as containerd does.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use super::containerd::ConfigSet;
use super::*;

const V3: &str = "# the node's own comment\nversion = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]\n  runtime_type = 'io.containerd.runc.v2' # kept\n  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\n    SystemdCgroup = true\n";
const V2: &str = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n  runtime_type = \"io.containerd.runc.v2\"\n  privileged_without_host_devices = true\n  [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n    SystemdCgroup = true\n    BinaryName = \"/usr/sbin/runc\"\n# last line, no newline";

/// A node in a directory. The engine has loaded what was in its files when it was last started.
struct FakeNode {
    root: PathBuf,
    pid: AtomicI32,
    loaded: Mutex<Vec<String>>,
    /// Restarted, it does not come back with the handler.
    stubborn: AtomicBool,
    /// Does not answer until the next restart.
    crashes: AtomicBool,
    memory: AtomicBool,
    call_group: AtomicBool,
    mounts: Mutex<Vec<PathBuf>>,
    dump: Mutex<Option<String>>,
}

impl FakeNode {
    fn new(root: &Path) -> Self {
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

    fn restarts(&self) -> i32 {
        self.pid.load(Ordering::SeqCst) - 100
    }
}

const CONFIG: &str = "/etc/containerd/config.toml";

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
struct Bench {
    directory: tempfile::TempDir,
    node: FakeNode,
    installation: Installation,
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
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

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(under(&self.root(), path)).unwrap()
    }

    async fn install(&self) -> Result<Installed, InstallError> {
        self.installation.install(&self.node).await
    }

    async fn uninstall(&self) -> Result<bool, InstallError> {
        uninstall(&self.installation, &self.node, Vec::new()).await
    }

    /// Everything below the root: path → kind, mode, content.
    fn tree(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
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
    fn identity(&self) -> BTreeMap<PathBuf, (u64, i64, i64)> {
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

fn layouts() -> Vec<Vec<(&'static str, &'static str)>> {
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

#[tokio::test]
async fn a_second_installation_changes_nothing_and_the_reverse_is_exact() {
    for layout in layouts() {
        let bench = Bench::new(&layout);
        let before = bench.tree();
        assert_eq!(
            bench.install().await.unwrap(),
            Installed {
                files: true,
                restarted: true
            }
        );
        assert_eq!(bench.node.restarts(), 1);
        let identity = bench.identity();
        assert_eq!(
            bench.install().await.unwrap(),
            Installed {
                files: false,
                restarted: false
            }
        );
        assert_eq!(bench.identity(), identity);
        assert_eq!(bench.node.restarts(), 1);

        assert!(bench.node.call_group.load(Ordering::SeqCst));
        assert!(bench.uninstall().await.unwrap());
        assert_eq!(bench.tree(), before);
        assert_eq!(bench.node.restarts(), 2);
        assert!(!bench.node.call_group.load(Ordering::SeqCst));
        assert!(!bench.uninstall().await.unwrap());
        assert_eq!((bench.tree(), bench.node.restarts()), (before, 2));
    }
}

#[tokio::test]
async fn the_entry_is_like_the_nodes_runc() {
    let bench = Bench::new(&[(CONFIG, V2)]);
    bench.install().await.unwrap();
    let text = bench.read(CONFIG);
    assert!(text.starts_with(V2), "{text}");
    let set = ConfigSet::read(&bench.root(), Path::new(CONFIG)).unwrap();
    let entry =
        &set.main.unwrap().value["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"]["godwit"];
    assert_eq!(entry["runtime_type"], "io.containerd.runc.v2");
    assert_eq!(entry["privileged_without_host_devices"], true);
    assert_eq!(entry["options"]["SystemdCgroup"], true);
    assert_eq!(
        entry["options"]["BinaryName"],
        "/var/lib/godwit/bin/godwit-runtime"
    );
}

#[tokio::test]
async fn a_drop_in_leaves_the_main_file_alone() {
    let layout = &layouts()[2];
    let bench = Bench::new(layout);
    bench.install().await.unwrap();
    for (path, text) in layout {
        assert_eq!(&bench.read(path), text);
    }
    assert!(
        bench
            .read("/etc/containerd/conf.d/godwit.toml")
            .contains("SystemdCgroup = true")
    );
}

#[tokio::test]
async fn modes_and_links_are_right() {
    let bench = Bench::new(&[(CONFIG, V3)]);
    bench.install().await.unwrap();
    let mode = |path: &str| fs::metadata(under(&bench.root(), path)).unwrap().mode() & 0o7777;
    for private in [
        "/var/lib/godwit",
        "/var/lib/godwit/journal",
        "/run/godwit",
        "/run/godwit/images",
    ] {
        assert_eq!(mode(private), 0o700, "{private}");
    }
    assert_eq!(mode("/var/lib/godwit/bin/godwit-park"), 0o755);
    assert_eq!(mode("/var/lib/godwit/install.json"), 0o600);
    let link = under(&bench.root(), "/var/lib/godwit/criu/real/lib/libnl-3.so.200");
    assert_eq!(fs::read_link(link).unwrap(), Path::new("libnl-3.so.200.1"));
    assert!(
        bench
            .read("/var/lib/godwit/criu/godwit.conf")
            .contains("network-lock skip\n")
    );
}

#[tokio::test]
async fn an_upgrade_replaces_what_differs_and_removes_what_is_gone() {
    let bench = Bench::new(&[(CONFIG, V3)]);
    bench.install().await.unwrap();
    let before = bench.identity();
    let payload = bench.directory.path().join("payload");
    fs::write(payload.join("bin/godwit-runtime"), "runtime 2").unwrap();
    fs::remove_file(payload.join("criu/real/lib/libnl-3.so.200")).unwrap();
    let running = fs::File::open(under(&bench.root(), "/var/lib/godwit/bin/godwit-runtime")).unwrap();
    assert_eq!(
        bench.install().await.unwrap(),
        Installed {
            files: true,
            restarted: false
        }
    );

    assert_eq!(bench.read("/var/lib/godwit/bin/godwit-runtime"), "runtime 2");
    assert_eq!(io::read_to_string(running).unwrap(), "runtime 1");
    assert!(!under(&bench.root(), "/var/lib/godwit/criu/real/lib/libnl-3.so.200").exists());
    let kept = under(&bench.root(), "/var/lib/godwit/bin/godwit-park");
    assert_eq!(bench.identity()[&kept], before[&kept]);
    assert_eq!(bench.node.restarts(), 1);
}

#[tokio::test]
async fn a_changed_runc_is_followed_and_the_first_original_comes_back() {
    let bench = Bench::new(&[(CONFIG, V3)]);
    bench.install().await.unwrap();
    let config = under(&bench.root(), CONFIG);
    let changed = bench
        .read(CONFIG)
        .replacen("SystemdCgroup = true", "SystemdCgroup = false", 1);
    fs::write(&config, changed).unwrap();
    assert!(bench.install().await.unwrap().restarted);
    assert_eq!(bench.read(CONFIG).matches("SystemdCgroup = false").count(), 2);
    bench.uninstall().await.unwrap();
    assert_eq!(
        bench.read(CONFIG),
        V3.replace("SystemdCgroup = true", "SystemdCgroup = false")
    );
}

#[tokio::test]
async fn changes_of_others_survive_the_reverse() {
    let bench = Bench::new(&[(CONFIG, V3)]);
    bench.install().await.unwrap();
    let config = under(&bench.root(), CONFIG);
    let appended = "\n# added later\n[metrics]\n  address = '127.0.0.1:1338'\n";
    fs::write(&config, bench.read(CONFIG) + appended).unwrap();
    assert!(!bench.install().await.unwrap().restarted);
    bench.uninstall().await.unwrap();
    assert_eq!(bench.read(CONFIG), format!("{V3}{appended}"));
}

#[tokio::test]
async fn a_lost_state_directory_does_not_hide_the_entry() {
    for layout in layouts() {
        let bench = Bench::new(&layout);
        let before = bench.tree();
        bench.install().await.unwrap();
        fs::remove_dir_all(under(&bench.root(), "/var/lib/godwit")).unwrap();
        assert!(!bench.install().await.unwrap().restarted);
        fs::remove_dir_all(under(&bench.root(), "/var/lib/godwit")).unwrap();
        bench.uninstall().await.unwrap();
        let after = bench.tree();
        // Without the record, a newline added before the block may remain; nothing else.
        assert_eq!(
            before.keys().collect::<Vec<_>>(),
            after.keys().collect::<Vec<_>>()
        );
        for (path, (mode, content)) in &before {
            assert_eq!(
                (*mode, content.trim_ascii_end()),
                (after[path].0, after[path].1.trim_ascii_end())
            );
        }
    }
}

#[tokio::test]
async fn bad_configurations_are_refused_and_nothing_is_changed() {
    let foreign = V3.to_owned()
        + "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.godwit]\n  runtime_type = 'io.containerd.runc.v2'\n";
    let cases: Vec<(String, &str)> = vec![
        ("version = 3\n[plugins".to_owned(), "ConfigMalformed"),
        ("root = '/x'\n".to_owned(), "ConfigVersionUnknown"),
        ("version = 4\n".to_owned(), "ConfigVersionUnknown"),
        (V2.replace("version = 2", "version = 3"), "ConfigMixed"),
        (V3.replace("version = 3", "version = 2"), "ConfigMixed"),
        (foreign, "ForeignRuntimeEntry"),
        (
            V3.replace("io.containerd.runc.v2", "io.containerd.kata.v2"),
            "UnsupportedRuntime",
        ),
        (
            V2.replace("/usr/sbin/runc", "/usr/bin/crun"),
            "UnsupportedRuntime",
        ),
        (
            "version = 3\nplugins = {'io.containerd.cri.v1.runtime' = {}}\n".to_owned(),
            "ConfigForm",
        ),
        (
            format!("# File generated by k3s. DO NOT EDIT.\n{V3}"),
            "ConfigGenerated",
        ),
        (format!("{V3}{}", " ".repeat(1 << 20)), "ConfigTooLarge"),
    ];
    for (text, reason) in cases {
        let bench = Bench::new(&[(CONFIG, V3)]);
        fs::write(under(&bench.root(), CONFIG), &text).unwrap();
        let before = bench.tree();
        let error = bench.install().await.unwrap_err();
        assert_eq!(error.reason(), reason, "{error} for {text:.80}");
        assert_eq!(bench.tree(), before);
        assert_eq!(bench.node.restarts(), 0);
    }
}

#[tokio::test]
async fn an_entry_of_the_administrators_is_used_and_stays() {
    let entry = "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.godwit]\n  runtime_type = 'io.containerd.runc.v2'\n  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.godwit.options]\n  BinaryName = '/var/lib/godwit/bin/godwit-runtime'\n";
    let bench = Bench::new(&[(CONFIG, &format!("{V3}{entry}"))]);
    let before = bench.tree();
    assert!(!bench.install().await.unwrap().restarted);
    bench.uninstall().await.unwrap();
    assert_eq!((bench.tree(), bench.node.restarts()), (before, 0));
}

#[tokio::test]
async fn an_engine_that_does_not_take_the_entry_gets_its_file_back_and_is_left_alone() {
    let bench = Bench::new(&[(CONFIG, V3)]);
    bench.node.stubborn.store(true, Ordering::SeqCst);
    assert_eq!(bench.install().await.unwrap_err().reason(), "HandlerNotTaken");
    assert_eq!(bench.read(CONFIG), V3);
    let restarts = bench.node.restarts();
    assert_eq!(
        bench.install().await.unwrap_err().reason(),
        "HandlerNotTakenBefore"
    );
    assert_eq!(
        (bench.read(CONFIG).as_str(), bench.node.restarts()),
        (V3, restarts)
    );
    // A changed configuration is a new attempt.
    bench.node.stubborn.store(false, Ordering::SeqCst);
    fs::write(under(&bench.root(), CONFIG), format!("{V3}# mended\n")).unwrap();
    assert!(bench.install().await.unwrap().restarted);
}

#[tokio::test]
async fn what_the_engine_reads_is_compared() {
    let bench = Bench::new(&[(CONFIG, V3)]);
    // An engine that, asked, never shows the handler.
    *bench.node.dump.lock().unwrap() = Some(V3.to_owned());
    assert_eq!(bench.install().await.unwrap_err().reason(), "ConfigNotAsExpected");
    assert_eq!((bench.read(CONFIG).as_str(), bench.node.restarts()), (V3, 0));
}

#[tokio::test]
async fn every_cut_is_mended_by_the_next_start() {
    // Reference: what an undisturbed installation makes.
    let reference = Bench::new(&[(CONFIG, V3)]);
    reference.install().await.unwrap();
    let relative = |bench: &Bench| {
        let root = bench.root();
        bench
            .tree()
            .into_iter()
            .map(|(path, what)| (path.strip_prefix(&root).unwrap().to_owned(), what))
            .collect::<BTreeMap<_, _>>()
    };
    let complete = relative(&reference);
    // A crash is a prefix of the steps: every path missing alone, half-written temporaries, a pending restart.
    for victim in complete
        .keys()
        .filter(|path| path.starts_with("var/lib/godwit") || path.starts_with("run/godwit"))
    {
        let bench = Bench::new(&[(CONFIG, V3)]);
        bench.install().await.unwrap();
        let path = bench.root().join(victim);
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            fs::remove_dir_all(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
            fs::write(files::temporary(&path), "half").unwrap();
        }
        bench.install().await.unwrap();
        let mut after = relative(&bench);
        if victim.ends_with(record::RECORD) || victim.ends_with("var/lib/godwit") {
            after.insert(
                "var/lib/godwit/install.json".into(),
                complete[Path::new("var/lib/godwit/install.json")].clone(),
            );
        }
        after.retain(|path, _| path.extension().is_none_or(|extension| extension != "godwit-tmp"));
        assert_eq!(after, complete, "after losing {}", victim.display());
        assert_eq!(bench.node.restarts(), 1);
        bench.uninstall().await.unwrap();
        assert_eq!(bench.read(CONFIG), V3);
    }
}

#[tokio::test]
async fn a_crash_around_the_change_still_ends_in_one_restart_and_an_exact_reverse() {
    for written in [false, true] {
        let bench = Bench::new(&[(CONFIG, V3)]);
        let before = bench.tree();
        let engine = bench.node.engine().await.unwrap();
        let plan = runtime_entry::decide(&bench.root(), &engine).unwrap();
        bench.installation.place_files().unwrap();
        runtime_entry::write(
            &bench.node,
            &bench.root(),
            &bench.installation.state(),
            &engine,
            &plan,
        )
        .await
        .unwrap();
        if !written {
            // Intent recorded, file not yet changed but its temporary half written.
            fs::write(under(&bench.root(), CONFIG), V3).unwrap();
            fs::write(files::temporary(&under(&bench.root(), CONFIG)), "half").unwrap();
        }
        assert!(bench.install().await.unwrap().restarted);
        assert_eq!(bench.node.restarts(), 1);
        bench.uninstall().await.unwrap();
        assert_eq!(bench.tree(), before);
    }
}

#[tokio::test]
async fn an_uninstallation_cut_off_half_way_is_finished_by_the_next() {
    let bench = Bench::new(&[(CONFIG, V3)]);
    let before = bench.tree();
    bench.install().await.unwrap();
    assert!(runtime_entry::remove(&bench.root(), &bench.installation.state(), Path::new(CONFIG)).unwrap());
    assert!(bench.uninstall().await.unwrap());
    assert_eq!((bench.tree(), bench.node.restarts()), (before, 2));
}

#[tokio::test]
async fn it_is_refused_while_anything_depends_on_it() {
    let bench = Bench::new(&[(CONFIG, V3)]);
    bench.install().await.unwrap();
    let before = bench.tree();
    let error = uninstall(&bench.installation, &bench.node, vec!["shop/redis-0".to_owned()])
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "InUse");
    assert!(error.to_string().contains("shop/redis-0"), "{error}");
    assert_eq!(bench.tree(), before);

    fs::write(under(&bench.root(), "/var/lib/godwit/carry/10.0.0.7"), "{}").unwrap();
    let error = bench.uninstall().await.unwrap_err();
    assert!(error.to_string().contains("carried address 10.0.0.7"), "{error}");
}

#[tokio::test]
async fn run_gets_a_mount_only_where_it_is_not_in_memory() {
    let bench = Bench::new(&[(CONFIG, V3)]);
    bench.node.memory.store(false, Ordering::SeqCst);
    bench.install().await.unwrap();
    bench.install().await.unwrap();
    assert_eq!(*bench.node.mounts.lock().unwrap(), [Path::new("/run/godwit")]);
    bench.uninstall().await.unwrap();
    assert!(bench.node.mounts.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_broken_payload_or_an_unwritable_place_is_named() {
    let bench = Bench::new(&[(CONFIG, V3)]);
    fs::remove_file(bench.directory.path().join("payload/criu/criu")).unwrap();
    assert_eq!(bench.install().await.unwrap_err().reason(), "BrokenImage");
    assert_eq!((bench.read(CONFIG).as_str(), bench.node.restarts()), (V3, 0));

    let bench = Bench::new(&[(CONFIG, V3)]);
    std::os::unix::fs::symlink(
        "../../../etc/passwd",
        bench.directory.path().join("payload/bin/odd"),
    )
    .unwrap();
    assert_eq!(bench.install().await.unwrap_err().reason(), "BrokenImage");

    let bench = Bench::new(&[(CONFIG, V3)]);
    fs::write(
        under(&bench.root(), "/var/lib/godwit"),
        "a file where the directory should be",
    )
    .unwrap();
    assert_eq!(bench.install().await.unwrap_err().reason(), "FileOperation");
    assert_eq!((bench.read(CONFIG).as_str(), bench.node.restarts()), (V3, 0));
}

#[tokio::test]
async fn silence_of_the_engine_changes_nothing() {
    let bench = Bench::new(&[(CONFIG, V3)]);
    bench.node.crashes.store(true, Ordering::SeqCst);
    let before = bench.tree();
    assert_eq!(bench.install().await.unwrap_err().reason(), "EngineSilent");
    assert_eq!(bench.tree(), before);
}
