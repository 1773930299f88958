//! A directory of one node that another one sees as well, as a file server's would be seen: the same file system, with the same locks.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::handle::Node;
use super::spawn::on_own_thread;

/// Mounts the mount at `path` (absolute) of node `from` at the same path of node `to`, which has it until somebody unmounts it there.
pub fn lend(from: Node<'_>, to: Node<'_>, path: &Path) -> Result<()> {
    let mounts = |node: Node<'_>| {
        File::open(format!("/proc/{}/ns/mnt", node.init_pid()))
            .with_context(|| format!("open the mounts of {}", node.name()))
    };
    let (lender, borrower) = (mounts(from)?, mounts(to)?);
    on_own_thread(move || {
        // A thread that shares its root with others cannot enter other mounts.
        unshare(CloneFlags::CLONE_FS)?;
        setns(&lender, CloneFlags::CLONE_NEWNS).context("enter the mounts of the lender")?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = open_tree(CWD, path, flags).with_context(|| format!("take {}", path.display()))?;
        setns(&borrower, CloneFlags::CLONE_NEWNS).context("enter the mounts of the borrower")?;
        std::fs::create_dir_all(path).with_context(|| format!("make {}", path.display()))?;
        move_mount(tree, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .with_context(|| format!("mount {}", path.display()))
    })
}
