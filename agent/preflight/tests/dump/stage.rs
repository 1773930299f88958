//! One row: a container with the feature, the look at it, and CRIU's dump.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use godwit_preflight::{Container, Finding, Pod};

use crate::criu::{self, GHOST_LIMIT};
use crate::table::{Criu, ONLY_VERSION_1, Row};

const LONG: Duration = Duration::from_secs(20);

/// The container, ended and forgotten at the end.
struct Running {
    outer: Child,
    dir: tempfile::TempDir,
    first: u32,
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.first != 0 {
            // SAFETY: the first process is a child of a child that is not reaped yet; with it its namespace ends.
            unsafe { libc::kill(self.first as i32, libc::SIGKILL) };
        }
        let _ = self.outer.kill();
        let _ = self.outer.wait();
    }
}

pub fn run(row: &Row, show: bool) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    for name in ["lower", "upper", "work", "merged", "vol"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    bring_program(&dir.path().join("lower"));
    // Peers outside of the container.
    let _stream = UnixListener::bind(dir.path().join("vol/stream")).unwrap();
    let _datagram = UnixDatagram::bind(dir.path().join("vol/datagram")).unwrap();
    let _ = fs::copy(
        "/sys/bus/event_source/devices/uprobe/type",
        dir.path().join("vol/uprobe-type"),
    );
    let outer = Command::new(std::env::current_exe().unwrap())
        .args(["init".as_ref(), row.name.as_ref(), dir.path().as_os_str()])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut running = Running { outer, dir, first: 0 };
    let said = until("the program", || {
        running.first = *children(running.outer.id()).first()?;
        fs::read_to_string(running.dir.path().join("vol/said")).ok()
    });
    if said != "ready" {
        return Err(format!("cannot be tried here: {said}"));
    }
    // Threads and children come to rest.
    std::thread::sleep(Duration::from_millis(100));
    let pids: Vec<u32> = tree(running.first).into_iter().collect();
    let before = states(&pids);
    let pod = Pod {
        proc: PathBuf::from("/proc"),
        containers: vec![Container {
            name: "app".into(),
            pids: pids.clone(),
            mounts: vec![PathBuf::from("/vol")],
        }],
        ghost_limit: GHOST_LIMIT,
        watches_on_overlay: false,
    };
    let found = godwit_preflight::look(&pod);
    let after = states(&pids);
    let dumped = criu::dump(running.first, &running.dir.path().join("images"));
    if show {
        for finding in &found {
            println!(
                "    {} refuse={} {}: {}",
                finding.check, finding.refuse, finding.process, finding.message
            );
        }
        println!("    criu: {dumped:#?}");
        return Ok(());
    }
    if before != after {
        return Err(format!(
            "the look changed the processes: {before:?}, then {after:?}"
        ));
    }
    check(row, &found, &dumped)
}

fn check(row: &Row, found: &[Finding], dumped: &Result<(), Vec<String>>) -> Result<(), String> {
    let checks: BTreeSet<(&str, bool)> = found.iter().map(|it| (it.check, it.refuse)).collect();
    let mut wanted: BTreeSet<(&str, bool)> = row.found.iter().copied().collect();
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap();
    if !cgroups.contains(":freezer:") {
        wanted.remove(&(ONLY_VERSION_1, true));
    }
    if checks != wanted {
        return Err(format!("found {found:#?} instead of {wanted:?}"));
    }
    match (&row.criu, dumped) {
        (Criu::Dumps, Ok(())) => Ok(()),
        (Criu::Refuses(text), Err(lines)) if lines.iter().any(|line| line.contains(text)) => Ok(()),
        (wanted, other) => Err(format!("CRIU: {other:#?} instead of {wanted:?}")),
    }
}

/// This very program and what it is linked with.
fn bring_program(lower: &Path) {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut files: BTreeSet<&str> = maps
        .lines()
        .filter_map(|line| Some(&line[line.find('/')?..]))
        .collect();
    // The names by which programs ask for the loader.
    let loaders = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
    files.extend(loaders.iter().filter(|path| Path::new(path).exists()));
    for file in files {
        let to = lower.join(&file[1..]);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, &to).unwrap();
    }
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

fn tree(first: u32) -> BTreeSet<u32> {
    let mut all = BTreeSet::from([first]);
    let mut left = vec![first];
    while let Some(pid) = left.pop() {
        for child in children(pid) {
            all.insert(child);
            left.push(child);
        }
    }
    all
}

/// Who traces each, and its times on the processor: neither may change by a look.
fn states(pids: &[u32]) -> Vec<Option<String>> {
    let line = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let kept = ["State:", "TracerPid:", "voluntary_ctxt_switches:"];
        Some(
            status
                .lines()
                .filter(|line| kept.iter().any(|name| line.starts_with(name)))
                .collect(),
        )
    };
    pids.iter().map(line).collect()
}

fn until<T>(what: &str, mut is: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(it) = is() {
            return it;
        }
        assert!(since.elapsed() < LONG, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
