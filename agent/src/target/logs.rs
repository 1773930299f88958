//! The logs of the source's containers, put in front of what the target's containers will write.
//!
//! When a container's `create` has reached the runtime wrapper, kubelet's log directory is there, and the container runtime has opened the log, to append to
//! it. The container is let go only after its past is in that file, so its first new line comes after it, and whoever reads the log sees one log.
//! Nothing here ever fails a migration: what cannot be written is left out, with a warning.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::libc::O_NOFOLLOW;
use tokio::{
    sync::{mpsc, oneshot},
    task,
    time::timeout,
};

use crate::node::Node;

/// How long the containers are held at most until their logs are in place. They are, unless a disk is stuck.
const IN_PLACE_WITHIN: Duration = Duration::from_secs(1);
/// Mode of a log that the container runtime has not made yet, as containerd makes it.
const MODE: u32 = 0o640;

enum Job {
    /// The container's log at this node.
    Place(PathBuf),
    /// It will not be known.
    NoPlace(String),
    /// A pass has arrived in this file.
    Arrived(PathBuf),
    /// To be answered when everything before it is done.
    Done(oneshot::Sender<()>),
}

/// The logs of one migration's containers; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    containers: Mutex<HashMap<String, mpsc::UnboundedSender<Job>>>,
    warnings: Arc<Mutex<Vec<String>>>,
}

impl Logs {
    /// A pass of a container's log has arrived as a whole, in a file that is removed when it is in place. Passes come in order.
    pub(super) fn arrived(&self, container: &str, pass: PathBuf) {
        self.give(container, Job::Arrived(pass));
    }

    /// A pass could not be kept.
    pub(super) fn lost(&self, container: &str, why: &str) {
        warn(&self.0.warnings, container, why);
    }

    /// The `create` of a container waits, so its log is there: finds out where, and puts in place what has arrived. Returns at once.
    pub(super) fn parked(&self, node: Arc<Node>, container: &str, id: &str) {
        let (logs, container, id) = (self.clone(), container.to_owned(), id.to_owned());
        task::spawn(async move {
            let job = match node.cri.container_status(&id).await {
                Ok(answer) => match answer.status.map(|status| status.log_path) {
                    Some(path) if !path.is_empty() => Job::Place(node.seen(Path::new(&path))),
                    _ => Job::NoPlace("the container runtime names no log of it".to_owned()),
                },
                Err(error) => Job::NoPlace(crate::failure::chain(&error)),
            };
            logs.give(&container, job);
        });
    }

    /// Waits until everything that has arrived is in place, for a bounded time. Gives what is missing, for people.
    pub(super) async fn settle(&self) -> Vec<String> {
        let waits: Vec<_> = {
            let containers = self.0.containers.lock().unwrap_or_else(PoisonError::into_inner);
            let ask = |(name, jobs): (&String, &mpsc::UnboundedSender<Job>)| {
                let (tell, told) = oneshot::channel();
                // One that has ended answers by that.
                let _ = jobs.send(Job::Done(tell));
                (name.clone(), told)
            };
            containers.iter().map(ask).collect()
        };
        let all = async {
            for (name, told) in waits {
                if told.await.is_err() {
                    warn(&self.0.warnings, &name, "the task that writes it has ended");
                }
            }
        };
        if timeout(IN_PLACE_WITHIN, all).await.is_err() {
            let mut warnings = self.0.warnings.lock().unwrap_or_else(PoisonError::into_inner);
            warnings.push("not all of the logs of before the move were in place in time".to_owned());
        }
        let mut warnings = self.0.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *warnings)
    }

    fn give(&self, container: &str, job: Job) {
        let mut containers = self.0.containers.lock().unwrap_or_else(PoisonError::into_inner);
        let jobs = containers.entry(container.to_owned()).or_insert_with(|| {
            let (jobs, received) = mpsc::unbounded_channel();
            task::spawn(write(container.to_owned(), received, self.0.warnings.clone()));
            jobs
        });
        // It ends only with its sender.
        let _ = jobs.send(job);
    }
}

/// Puts the passes of one container in place, in their order, until nobody gives any more.
async fn write(container: String, mut jobs: mpsc::UnboundedReceiver<Job>, warnings: Arc<Mutex<Vec<String>>>) {
    let mut log = Where::Unknown;
    let (mut waiting, mut asked) = (Vec::new(), Vec::new());
    while let Some(job) = jobs.recv().await {
        match job {
            Job::Place(path) => log = Where::open(&path, &container, &warnings),
            Job::NoPlace(why) => {
                warn(&warnings, &container, &why);
                log = Where::Nowhere;
            }
            Job::Arrived(pass) => waiting.push(pass),
            Job::Done(tell) => asked.push(tell),
        }
        match &log {
            // A container of which nothing has come waits for nothing.
            Where::Unknown if waiting.is_empty() => {}
            Where::Unknown => continue,
            Where::Nowhere => waiting.drain(..).for_each(|pass| remove(&pass)),
            Where::Here(file) => {
                for pass in waiting.drain(..) {
                    let file = file.clone();
                    let appended = task::spawn_blocking(move || append(&file, &pass)).await;
                    if let Ok(Err(error)) = appended {
                        warn(&warnings, &container, &format!("it cannot be written: {error}"));
                    }
                }
            }
        }
        for tell in asked.drain(..) {
            // Whoever asked may have lost patience.
            let _ = tell.send(());
        }
    }
}

/// Where a container's log is.
enum Where {
    Unknown,
    Nowhere,
    Here(Arc<File>),
}

impl Where {
    fn open(path: &Path, container: &str, warnings: &Mutex<Vec<String>>) -> Self {
        let mut options = OpenOptions::new();
        // Held open from here on: what is rotated away meanwhile still gets what belongs to it.
        let opened = options
            .append(true)
            .create(true)
            .mode(MODE)
            .custom_flags(O_NOFOLLOW)
            .open(path);
        match opened {
            Ok(file) => Self::Here(Arc::new(file)),
            Err(error) => {
                warn(warnings, container, &format!("it cannot be opened: {error}"));
                Self::Nowhere
            }
        }
    }
}

fn append(mut log: &File, pass: &Path) -> io::Result<()> {
    let copied = File::open(pass).and_then(|mut pass| io::copy(&mut pass, &mut log));
    remove(pass);
    copied.map(drop)
}

fn remove(pass: &Path) {
    // What stays is removed with the migration's directory.
    let _ = fs::remove_file(pass);
}

fn warn(warnings: &Mutex<Vec<String>>, container: &str, why: &str) {
    tracing::warn!(container, why, "a log of before the move is not complete");
    let mut warnings = warnings.lock().unwrap_or_else(PoisonError::into_inner);
    warnings.push(format!(
        "container {container}: the log of before the move is not complete: {why}"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(dir: &Path, name: &str, text: &str) -> PathBuf {
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    #[tokio::test]
    async fn passes_come_in_front_in_their_order_wherever_the_log_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("0.log");
        let runtimes = OpenOptions::new().append(true).create(true).open(&log).unwrap();
        let logs = Logs::default();
        let first = pass(dir.path(), "1", "one\n");
        logs.arrived("app", first.clone());
        logs.arrived("app", pass(dir.path(), "2", "two\n"));
        logs.give("app", Job::Place(log.clone()));
        logs.arrived("app", pass(dir.path(), "3", "three\n"));
        assert_eq!(logs.settle().await, Vec::<String>::new());
        io::Write::write_all(&mut &runtimes, b"new\n").unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), "one\ntwo\nthree\nnew\n");
        assert!(!first.exists());
    }

    #[tokio::test]
    async fn what_cannot_be_put_in_place_is_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::default();
        let lost = pass(dir.path(), "1", "one\n");
        logs.arrived("app", lost.clone());
        logs.give("app", Job::Place(dir.path().join("missing/0.log")));
        logs.give("side", Job::NoPlace("not known".to_owned()));
        let mut warnings = logs.settle().await;
        warnings.sort();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].starts_with("container app: ") && warnings[1].ends_with("not known"));
        assert!(!lost.exists());
    }

    #[tokio::test]
    async fn a_place_that_never_becomes_known_holds_nothing_up_for_long() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::default();
        logs.arrived("app", pass(dir.path(), "1", "one\n"));
        assert_eq!(logs.settle().await.len(), 1);
        assert!(Logs::default().settle().await.is_empty());
    }

    #[tokio::test]
    async fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = pass(dir.path(), "elsewhere", "");
        let log = dir.path().join("0.log");
        std::os::unix::fs::symlink(&elsewhere, &log).unwrap();
        let logs = Logs::default();
        logs.arrived("app", pass(dir.path(), "1", "one\n"));
        logs.give("app", Job::Place(log));
        assert_eq!(logs.settle().await.len(), 1);
        assert_eq!(fs::read_to_string(elsewhere).unwrap(), "");
    }
}
