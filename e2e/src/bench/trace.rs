//! What the relay between runc and CRIU, and CRIU itself, leave word of. The agents remove those files when a migration
//! is over, so they are opened as soon as they are there: an open file outlives its name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::criu_stats::{self, CriuDump, CriuRestore};
use crate::Node;

/// How often new files are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(3);
/// The longest file that is read: CRIU's log.
const LONGEST: u64 = 4 << 20;

/// One thing the relay noted.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Noted {
    /// What: `request`, `gate`, CRIU's own names of its notifications, …
    pub name: String,
    /// When, in microseconds since 1970.
    pub unix_us: u64,
}

/// All that was found of one migration. What the agents removed too soon is missing.
#[derive(Debug, Clone, Default)]
pub struct Traced {
    /// The relay's notes at the source.
    pub dump_stages: Vec<Noted>,
    /// The relay's notes at the target.
    pub restore_stages: Vec<Noted>,
    /// What CRIU says of the dump.
    pub dump: Option<CriuDump>,
    /// What CRIU says of the restore.
    pub restore: Option<CriuRestore>,
    /// All files, by their names on their nodes.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Traced {
    /// From the opening of the dump's gate to CRIU's word that it is done, in microseconds, if both were found.
    pub fn in_dump_us(&self) -> Option<u64> {
        let when = |name: &str| {
            let found = self.dump_stages.iter().find(|stage| stage.name == name);
            found.map(|stage| stage.unix_us)
        };
        when("done")?.checked_sub(when("go")?)
    }
}

/// Files under watch.
#[derive(Debug)]
pub struct Trace {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<PathBuf, (u64, File)>>,
}

impl Trace {
    /// Begins to look on the two nodes of a migration.
    pub fn begin(nodes: [Node<'_>; 2]) -> Result<Self> {
        let roots: Vec<PathBuf> = nodes
            .iter()
            .flat_map(|node| ["gates", "records", "images"].map(|dir| node.path("/run/godwit").join(dir)))
            .collect();
        let stop = Arc::new(AtomicBool::new(false));
        let its = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut found = BTreeMap::new();
            while !its.load(Ordering::Relaxed) {
                for root in &roots {
                    look(root, 0, &mut found);
                }
                std::thread::sleep(LOOK_EVERY);
            }
            found
        });
        Ok(Self { stop, thread })
    }

    /// What was found of those UIDs (of the migration, of its target pod); others may be under way on the same nodes.
    pub fn end(self, uids: &[String]) -> Traced {
        self.stop.store(true, Ordering::Relaxed);
        let mut traced = Traced::default();
        for (path, (_, mut file)) in self.thread.join().unwrap_or_default() {
            if !uids
                .iter()
                .any(|uid| path.components().any(|part| part.as_os_str() == uid.as_str()))
            {
                continue;
            }
            let mut bytes = Vec::new();
            if file
                .rewind()
                .and_then(|()| (&file).take(LONGEST).read_to_end(&mut bytes))
                .is_err()
            {
                continue;
            }
            let name = path.to_string_lossy();
            match path.file_name().and_then(|name| name.to_str()) {
                Some("stages.json") => {
                    let stages = serde_json::from_slice(&bytes).unwrap_or_default();
                    if name.contains("/gates/") {
                        traced.dump_stages = stages;
                    } else {
                        traced.restore_stages = stages;
                    }
                }
                Some("stats-dump") => traced.dump = criu_stats::dump(&bytes),
                Some("stats-restore") => traced.restore = criu_stats::restore(&bytes),
                _ => {}
            }
            traced.files.insert(name.into_owned(), bytes);
        }
        traced
    }
}

/// Opens what is new two levels further down.
fn look(dir: &Path, depth: u8, found: &mut BTreeMap<PathBuf, (u64, File)>) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        if depth < 2 {
            look(&entry.path(), depth + 1, found);
            continue;
        }
        let name = entry.file_name();
        let wanted = [
            "stages.json",
            "held.json",
            "stats-dump",
            "stats-restore",
            "dump.log",
            "restore.log",
        ];
        if !wanted.iter().any(|wanted| name == *wanted) {
            continue;
        }
        let path = entry.path();
        let known = found.get(&path).map(|(inode, _)| *inode);
        if let Ok(metadata) = entry.metadata()
            && known != Some(metadata.ino())
            && let Ok(file) = File::open(&path)
        {
            found.insert(path, (metadata.ino(), file));
        }
    }
}
