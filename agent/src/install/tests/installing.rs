//! What an installation makes of a node, what an upgrade changes, and what the reverse leaves.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::super::containerd::ConfigSet;
use super::super::*;
use super::bench::{Bench, CONFIG, V2, V3, layouts};

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
async fn an_entry_of_the_administrators_is_used_and_stays() {
    let entry = "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.godwit]\n  runtime_type = 'io.containerd.runc.v2'\n  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.godwit.options]\n  BinaryName = '/var/lib/godwit/bin/godwit-runtime'\n";
    let bench = Bench::new(&[(CONFIG, &format!("{V3}{entry}"))]);
    let before = bench.tree();
    assert!(!bench.install().await.unwrap().restarted);
    bench.uninstall().await.unwrap();
    assert_eq!((bench.tree(), bench.node.restarts()), (before, 0));
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
