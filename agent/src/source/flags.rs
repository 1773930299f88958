//! The flags of large processes' mappings, noted right before the freeze and confirmed before the commit.
//!
//! CRIU reads them from a file that takes the kernel 20 to 40 ms per GiB to write; see `veil/flags.rs` of `agent/runtime`. What was noted is what CRIU
//! believes, so a migration in which one of them has changed must not be committed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use godwit_container::{cgroup::Freezer, host::Host};
use godwit_runtime::{
    record::{RecordDir, RecordError},
    veil::{self, FLAGS, VeilError},
};
use thiserror::Error;
use tokio::task;

use super::{facts::SourcePod, memory::resident_of};
use crate::{failure::Failure, step::SourceStep};

/// Bytes of memory from which on it is worth it: with less the kernel is done in a millisecond or two.
const LARGE: u64 = 64 << 20;

/// Why what was noted cannot be confirmed.
#[derive(Debug, Error)]
enum FlagsError {
    /// A file of a process.
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The gate's directory.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// One of the two.
    #[error(transparent)]
    Veil(#[from] VeilError),
    /// They differ.
    #[error(
        "container {container}: process {pid} changed the flags of its memory in the moment before the freeze ({difference}); \
         migrate again"
    )]
    Changed {
        container: String,
        pid: i32,
        difference: String,
    },
}

impl FlagsError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "ProcessUnreadable",
            Self::Record(error) => error.reason(),
            Self::Veil(error) => error.reason(),
            Self::Changed { .. } => "MappingsChanged",
        }
    }
}

/// What was noted of a pod.
#[derive(Debug, Default)]
pub(super) struct Noted(Vec<OfProcess>);

#[derive(Debug)]
struct OfProcess {
    container: String,
    gate: PathBuf,
    smaps: PathBuf,
    pid: i32,
    essence: String,
}

impl Noted {
    /// Notes the flags of the pod's large processes for CRIU. To be called right before the freeze. A process of which they cannot be read has gone, or is
    /// dumped as slowly as ever.
    pub(super) async fn of(host: &Host, pod: &SourcePod) -> Self {
        let host = host.clone();
        let containers: Vec<_> = pod
            .containers
            .iter()
            .map(|it| (it.name().to_owned(), it.gate_dir.clone(), it.freezer.clone()))
            .collect();
        let noting = task::spawn_blocking(move || {
            let noted = containers
                .into_iter()
                .flat_map(|(name, gate, freezer)| of_container(&host, &name, &gate, &freezer));
            noted.collect()
        });
        Self(noting.await.unwrap_or_default())
    }

    /// Fails unless everything that CRIU was made to believe is true. To be called while the processes are still frozen and after their dump; it
    /// takes as long as it has saved.
    pub(super) async fn confirm(self) -> Result<(), Failure> {
        let step = SourceStep::Dump;
        let confirming = task::spawn_blocking(move || self.0.into_iter().try_for_each(OfProcess::confirm));
        confirming
            .await
            .map_err(|error| Failure::from_error(step, "Internal", &error))?
            .map_err(|error| Failure::from_error(step, error.reason(), &error))
    }
}

fn of_container(host: &Host, name: &str, gate: &Path, freezer: &Freezer) -> Vec<OfProcess> {
    let Ok(directory) = RecordDir::open_handed(gate) else {
        return Vec::new();
    };
    let large = freezer
        .processes()
        .unwrap_or_default()
        .into_iter()
        .filter(|pid| resident_of(host, *pid) >= LARGE);
    let noted = large.filter_map(|pid| {
        let smaps = host.process(pid).join("smaps");
        let essence = veil::essence(&fs::read_to_string(&smaps).ok()?);
        directory.write(&file(pid), essence.as_bytes()).ok()?;
        Some(OfProcess {
            container: name.to_owned(),
            gate: gate.to_path_buf(),
            smaps,
            pid,
            essence,
        })
    });
    noted.collect()
}

impl OfProcess {
    fn confirm(self) -> Result<(), FlagsError> {
        // The relay removes what it did not use.
        if !RecordDir::open_handed(&self.gate)?.has(&file(self.pid))? {
            return Ok(());
        }
        let truth = fs::read_to_string(&self.smaps).map_err(|source| FlagsError::Read {
            path: self.smaps.clone(),
            source,
        })?;
        match veil::difference(&self.essence, &truth, &self.smaps)? {
            None => Ok(()),
            Some(difference) => Err(FlagsError::Changed {
                container: self.container,
                pid: self.pid,
                difference,
            }),
        }
    }
}

fn file(pid: i32) -> String {
    format!("{FLAGS}{pid}")
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    /// A process whose mappings do not change.
    struct Sleeper(Child);

    impl Sleeper {
        fn start() -> Self {
            let child = Command::new("sleep").arg("60").spawn().unwrap();
            let sleeper = Self(child);
            // Until it is past the loader.
            let maps = || fs::read_to_string(format!("/proc/{}/maps", sleeper.pid())).unwrap();
            let mut before = String::new();
            while before != maps() || !before.contains("sleep") {
                before = maps();
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            sleeper
        }

        fn pid(&self) -> i32 {
            i32::try_from(self.0.id()).unwrap()
        }

        fn noted(&self, gate: &Path) -> OfProcess {
            let smaps = Host::own().process(self.pid()).join("smaps");
            OfProcess {
                container: "app".to_owned(),
                gate: gate.to_path_buf(),
                essence: veil::essence(&fs::read_to_string(&smaps).unwrap()),
                smaps,
                pid: self.pid(),
            }
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn used(gate: &Path, pid: i32) {
        RecordDir::open_handed(gate).unwrap().mark(&file(pid)).unwrap();
    }

    #[test]
    fn what_is_true_is_confirmed_and_what_is_not_is_said() {
        let gate = tempfile::tempdir().unwrap();
        let sleeper = Sleeper::start();
        used(gate.path(), sleeper.pid());
        sleeper.noted(gate.path()).confirm().unwrap();

        let mut noted = sleeper.noted(gate.path());
        noted.essence = noted.essence.replacen(" mr ", " mr dc ", 1);
        let error = noted.confirm().unwrap_err();
        assert_eq!(error.reason(), "MappingsChanged");
        assert!(error.to_string().contains("container app"), "{error}");
    }

    #[test]
    fn what_criu_did_not_read_need_not_be_true() {
        let gate = tempfile::tempdir().unwrap();
        let sleeper = Sleeper::start();
        let mut noted = sleeper.noted(gate.path());
        noted.essence.clear();
        noted.confirm().unwrap();
    }

    #[test]
    fn a_process_that_is_gone_is_not_confirmed() {
        let gate = tempfile::tempdir().unwrap();
        let sleeper = Sleeper::start();
        used(gate.path(), sleeper.pid());
        let noted = sleeper.noted(gate.path());
        drop(sleeper);
        assert_eq!(noted.confirm().unwrap_err().reason(), "ProcessUnreadable");
    }

    #[test]
    fn only_large_processes_are_worth_it() {
        let sleeper = Sleeper::start();
        let is_large = |pid| resident_of(&Host::own(), pid) >= LARGE;
        assert!(!is_large(sleeper.pid()));
        assert!(!is_large(i32::MAX));
        let memory = vec![1_u8; usize::try_from(LARGE).unwrap()];
        assert!(is_large(std::process::id().cast_signed()));
        drop(memory);
    }
}
