//! Watches every pod event of a stateful set: who makes its pods, and how many of its workloads are there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use futures::StreamExt as _;
use godwit_crds::{MIGRATION_UID_ANNOTATION, STAND_IN_LABEL};
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
pub(super) struct Names {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    /// By UID: the name that the pod has or stands in for, and whether it is Ready.
    pods: BTreeMap<String, (String, bool)>,
    begun: bool,
    events: usize,
    /// Pods made since the beginning that have a name of the set's and that Godwit has not made.
    foreign: Vec<String>,
    /// The fewest names of which there was a pod, and a Ready one.
    fewest: usize,
    fewest_ready: usize,
    trouble: Option<String>,
}

impl Seen {
    fn take(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => {}
            Event::InitApply(pod) | Event::Apply(pod) => self.look(&pod),
            Event::InitDone => {
                if self.begun {
                    self.trouble = Some("the watch broke, and events may have been missed".to_owned());
                }
                self.begun = true;
                (self.fewest, self.fewest_ready) = (usize::MAX, usize::MAX);
                self.count();
            }
            Event::Delete(pod) => {
                self.events += 1;
                self.pods.remove(&pod.uid().unwrap_or_default());
                self.count();
            }
        }
    }

    fn look(&mut self, pod: &Pod) {
        self.events += 1;
        let name = pod.labels().get(STAND_IN_LABEL).cloned();
        let stands_for = name.unwrap_or_else(|| pod.name_any());
        let entry = (stands_for, is_ready(pod));
        let is_new = self.pods.insert(pod.uid().unwrap_or_default(), entry).is_none();
        if self.begun && is_new && !pod.annotations().contains_key(MIGRATION_UID_ANNOTATION) {
            self.foreign.push(pod.name_any());
        }
        self.count();
    }

    fn count(&mut self) {
        let names = |only_ready: bool| {
            let pods = self.pods.values().filter(|(_, ready)| *ready || !only_ready);
            let mut names: Vec<&String> = pods.map(|(name, _)| name).collect();
            names.sort();
            names.dedup();
            names.len()
        };
        let (all, ready) = (names(false), names(true));
        self.fewest = self.fewest.min(all);
        self.fewest_ready = self.fewest_ready.min(ready);
    }
}

impl Names {
    /// Begins to watch.
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
        let names = Self { seen, task };
        lab.until("the watch on pods", BEGUN, async || {
            Ok(lock(&names.seen).begun.then_some(()))
        })
        .await?;
        Ok(names)
    }

    /// Fails unless each of so many names had a pod or a stand-in at every moment, so many of them a Ready one, and nobody but
    /// Godwit has made a pod.
    pub(super) fn says(&self, fewest: usize, ready: usize) -> Result<()> {
        let seen = lock(&self.seen);
        println!(
            "        {} pod events: at least {} workloads, {} of them ready; made by others: {:?}",
            seen.events, seen.fewest, seen.fewest_ready, seen.foreign
        );
        if let Some(trouble) = &seen.trouble {
            bail!("the watch on pods: {trouble}");
        }
        ensure!(seen.foreign.is_empty(), "others have made {:?}", seen.foreign);
        ensure!(seen.fewest >= fewest, "a name had neither pod nor stand-in");
        ensure!(
            seen.fewest_ready >= ready,
            "only {} workloads were ready at a moment",
            seen.fewest_ready
        );
        Ok(())
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
