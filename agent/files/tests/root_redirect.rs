//! Overlays that keep data below another name, or only metadata in the layer.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot set up its scene has failed"
)]

mod overlay;
mod snapshot;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use godwit_files::{ApplyState, Marks, SharedMapped, Source, write_base, write_delta};
use overlay::{Lab, let_slack_pass};
use snapshot::{assert_same, take};

fn lower(root: &Path) {
    fs::create_dir_all(root.join("dir/sub")).unwrap();
    fs::write(root.join("dir/a"), "a").unwrap();
    fs::write(root.join("dir/b"), "b").unwrap();
    fs::write(root.join("dir/sub/c"), "c").unwrap();
    fs::write(root.join("big"), vec![3; 300_000]).unwrap();
    fs::write(root.join("other"), vec![4; 300_000]).unwrap();
}

#[test]
fn renamed_directories_arrive_whole() {
    let lab = Lab::new(",redirect_dir=on", lower);
    let mut state = ApplyState::default();
    let source = lab.open(Marks::Trusted);
    let root = &lab.source.merged;
    fs::rename(root.join("dir"), root.join("renamed")).unwrap();
    let mark = xattr::get(lab.source.upper.join("renamed"), "trusted.overlay.redirect").unwrap();
    assert!(
        mark.is_some(),
        "the mount must redirect, else this proves nothing"
    );
    fs::write(root.join("renamed/new"), "new").unwrap();
    fs::hard_link(root.join("renamed/new"), root.join("renamed/sub/new")).unwrap();
    fs::hard_link(root.join("renamed/new"), root.join("new")).unwrap();
    fs::remove_file(root.join("renamed/b")).unwrap();
    let_slack_pass();
    let base = lab.base(&source, &mut state);
    assert_same(&take(root, &[]), &take(&lab.target.merged, &[]));
    let sent = write_delta(&source, &base, &SharedMapped::none(), &mut Vec::new()).unwrap();
    assert_eq!(sent.entries, 0);

    fs::write(root.join("renamed/a"), "copied up").unwrap();
    fs::remove_file(root.join("renamed/sub/c")).unwrap();
    lab.delta(&source, &base, &SharedMapped::none(), &mut state);
    assert_same(&take(root, &[]), &take(&lab.target.merged, &[]));
}

#[test]
fn a_directory_renamed_after_the_base_pass_arrives() {
    let lab = Lab::new(",redirect_dir=on", lower);
    let mut state = ApplyState::default();
    let source = lab.open(Marks::Trusted);
    let root = &lab.source.merged;
    fs::write(root.join("dir/a"), "changed").unwrap();
    let_slack_pass();
    let base = lab.base(&source, &mut state);
    fs::rename(root.join("dir"), root.join("renamed")).unwrap();
    fs::create_dir(root.join("dir")).unwrap();
    fs::write(root.join("dir/fresh"), "fresh").unwrap();
    lab.delta(&source, &base, &SharedMapped::none(), &mut state);
    assert_same(&take(root, &[]), &take(&lab.target.merged, &[]));
}

#[test]
fn files_with_only_metadata_in_the_layer_arrive_with_their_data() {
    let lab = Lab::new(",metacopy=on,redirect_dir=on", lower);
    let mut state = ApplyState::default();
    let source = lab.open(Marks::Trusted);
    let root = &lab.source.merged;
    chown(root.join("big"), Some(7), Some(8)).unwrap();
    fs::set_permissions(root.join("other"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::rename(root.join("other"), root.join("dir/moved")).unwrap();
    let mark = xattr::get(lab.source.upper.join("big"), "trusted.overlay.metacopy").unwrap();
    assert!(
        mark.is_some(),
        "the mount must keep only metadata, else this proves nothing"
    );
    let base = lab.base(&source, &mut state);
    assert_same(&take(root, &[]), &take(&lab.target.merged, &[]));
    fs::write(root.join("big"), "data now").unwrap();
    lab.delta(&source, &base, &SharedMapped::none(), &mut state);
    assert_same(&take(root, &[]), &take(&lab.target.merged, &[]));
}

#[test]
fn without_the_merged_view_it_is_refused_by_name() {
    for (options, change) in [
        (
            ",redirect_dir=on",
            (|root| fs::rename(root.join("dir"), root.join("renamed")).unwrap()) as fn(&Path),
        ),
        (",metacopy=on", |root| {
            chown(root.join("big"), Some(7), Some(8)).unwrap();
        }),
    ] {
        let lab = Lab::new(options, lower);
        change(&lab.source.merged);
        let source = Source::overlay(&lab.source.upper, None, Marks::Trusted).unwrap();
        let error = write_base(&source, &SharedMapped::none(), &mut Vec::new()).unwrap_err();
        assert_eq!(error.reason(), "FilesMergedViewMissing");
    }
}
