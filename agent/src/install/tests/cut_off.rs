//! Cut off anywhere: the next attempt ends where an undisturbed one does.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::super::*;
use super::bench::{Bench, CONFIG, V3, layouts};

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
