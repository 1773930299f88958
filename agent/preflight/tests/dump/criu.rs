//! The call of CRIU that the agent makes, by way of runc.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the agent configures CRIU with, but less, so that a test need not write 256 MiB.
pub const GHOST_LIMIT: u64 = 4 << 20;

/// CRIU, from a tree with a loader and libraries of its own, or of this machine.
fn program() -> Command {
    let Some(tree) = std::env::var_os("GODWIT_CRIU_TREE").map(PathBuf::from) else {
        return Command::new("criu");
    };
    let (loader, triple) = if cfg!(target_arch = "aarch64") {
        ("lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu")
    } else {
        ("lib64/ld-linux-x86-64.so.2", "x86_64-linux-gnu")
    };
    let mut command = Command::new(tree.join(loader));
    command
        .arg("--library-path")
        .arg(tree.join("usr/lib").join(triple))
        .arg(tree.join("usr/sbin/criu"));
    command
}

/// Dumps; gives the error lines of CRIU's log, the decisive one first.
pub fn dump(pid: u32, images: &Path) -> Result<(), Vec<String>> {
    let inode = std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    let inode = inode
        .to_string_lossy()
        .replace(|letter: char| !letter.is_ascii_digit(), "");
    std::fs::create_dir_all(images).unwrap();
    let status = program()
        .args([
            "dump",
            "--tree",
            &pid.to_string(),
            "--leave-running",
            "--tcp-established",
            "--file-locks",
        ])
        .args([
            "--network-lock",
            "skip",
            "--manage-cgroups=ignore",
            "--empty-ns",
            "net",
        ])
        .args(["--ghost-limit", &GHOST_LIMIT.to_string(), "--timeout", "5"])
        .args([
            "--external",
            "mnt[/vol]:vol",
            "--external",
            &format!("net[{inode}]:extRootNetNS"),
        ])
        .args([
            "--images-dir".as_ref(),
            images,
            "-v4".as_ref(),
            "--log-file".as_ref(),
            "dump.log".as_ref(),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("CRIU is needed: set GODWIT_CRIU_TREE, or install it");
    let log = std::fs::read(images.join("dump.log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    if let Ok(text) = std::env::var("GODWIT_LOG") {
        for line in log.lines().filter(|line| line.contains(&text)) {
            println!("    log: {line}");
        }
    }
    if status.success() {
        return Ok(());
    }
    let errors = log
        .lines()
        .filter(|line| line.contains("Error ("))
        .map(str::to_owned);
    Err(errors.collect())
}
