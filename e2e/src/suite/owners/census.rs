//! Counts the pods of a namespace that belong to a controller, at every change of any of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use futures::StreamExt as _;
use godwit_crds::MIGRATION_LABEL;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::watcher;
use kube::runtime::watcher::Event;
use tokio::task::JoinHandle;

use crate::suite::Lab;
use crate::suite::failures::agents::is_ready;

/// How long the watch may take to have begun.
const BEGUN: Duration = Duration::from_secs(20);

/// A watch on every pod event, until it is dropped.
pub(super) struct Census {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    /// By UID: whether it counts now.
    pods: BTreeMap<String, bool>,
    /// UIDs of those that count and are ready.
    ready: BTreeSet<String>,
    begun: bool,
    fewest: usize,
    fewest_ready: usize,
    most: usize,
    /// Pods that an owner has made since the beginning.
    made: Vec<String>,
    events: usize,
    trouble: Option<String>,
}

impl Seen {
    fn look(&mut self, pod: &Pod) {
        self.events += 1;
        let uid = pod.uid().unwrap_or_default();
        if counts(pod) && is_ready(pod) {
            self.ready.insert(uid.clone());
        } else {
            self.ready.remove(&uid);
        }
        let is_new = self.pods.insert(uid, counts(pod)).is_none();
        // A target belongs to nobody at first, and has the label.
        if self.begun && is_new && is_owned(pod) && !pod.labels().contains_key(MIGRATION_LABEL) {
            self.made.push(pod.name_any());
        }
        self.count();
    }

    fn count(&mut self) {
        let now = self.pods.values().filter(|counts| **counts).count();
        if self.begun {
            self.fewest = self.fewest.min(now);
            self.most = self.most.max(now);
            self.fewest_ready = self.fewest_ready.min(self.ready.len());
        } else {
            (self.fewest, self.most) = (now, now);
            self.fewest_ready = self.ready.len();
        }
    }

    fn take(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => {}
            Event::InitApply(pod) | Event::Apply(pod) => self.look(&pod),
            Event::InitDone => {
                if self.begun {
                    self.trouble = Some("the watch broke, and events may have been missed".to_owned());
                }
                self.begun = true;
                self.count();
            }
            Event::Delete(pod) => {
                self.events += 1;
                let uid = pod.uid().unwrap_or_default();
                self.ready.remove(&uid);
                self.pods.insert(uid, false);
                self.count();
            }
        }
    }
}

impl Census {
    /// Begins to count.
    pub(super) async fn begin(lab: &Lab) -> Result<Self> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let pods = lab.pods();
        let task = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                let mut events = std::pin::pin!(watcher(pods, watcher::Config::default()));
                while let Some(event) = events.next().await {
                    let mut seen = lock(&seen);
                    match event {
                        Ok(event) => seen.take(event),
                        Err(error) => seen.trouble = Some(error.to_string()),
                    }
                }
            }
        });
        let census = Self { seen, task };
        lab.until("the watch on pods", BEGUN, async || {
            Ok(lock(&census.seen).begun.then_some(()))
        })
        .await?;
        Ok(census)
    }

    /// Fails unless there were at least `fewest` at every moment, and owners have made exactly `made` pods.
    pub(super) fn says(&self, fewest: usize, made: usize) -> Result<()> {
        let seen = lock(&self.seen);
        println!(
            "        {} pod events: {} to {} pods counted, made by owners: {:?}",
            seen.events, seen.fewest, seen.most, seen.made
        );
        if let Some(trouble) = &seen.trouble {
            bail!("the watch on pods: {trouble}");
        }
        ensure!(
            seen.fewest >= fewest,
            "there were only {} pods at a moment",
            seen.fewest
        );
        ensure!(seen.made.len() == made, "owners have made {:?}", seen.made);
        Ok(())
    }

    /// Fails unless there were at least so many at every moment that were ready as well.
    pub(super) fn ready(&self, fewest: usize) -> Result<()> {
        let found = lock(&self.seen).fewest_ready;
        ensure!(found >= fewest, "only {found} pods were ready at a moment");
        Ok(())
    }
}

impl Drop for Census {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// True for a pod that its owner counts: as controllers themselves decide (kubernetes `controller_utils.go`, `IsPodActive`).
pub(super) fn counts(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    is_owned(pod)
        && pod.metadata.deletion_timestamp.is_none()
        && !matches!(phase, Some("Succeeded" | "Failed"))
}

fn is_owned(pod: &Pod) -> bool {
    pod.owner_references()
        .iter()
        .any(|reference| reference.controller == Some(true))
}
