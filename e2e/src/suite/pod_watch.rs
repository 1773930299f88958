//! Watches every pod event of a namespace for something that counts pods.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::watcher;
use kube::runtime::watcher::Event;
use tokio::task::JoinHandle;

use super::Lab;

/// How long the watch may take to have begun.
const BEGUN: Duration = Duration::from_secs(20);

/// What is counted.
pub trait Count: Send + 'static {
    /// What matters of one pod.
    type Of: Send;

    /// That of a pod as it is now.
    fn of(pod: &Pod) -> Self::Of;

    /// This pod was made after the watch had begun.
    fn made(&mut self, pod: &Pod);

    /// These are there, when the watch has begun and at each event from then on.
    fn count<'a>(&mut self, pods: impl Iterator<Item = &'a Self::Of> + Clone);
}

/// A watch on every pod event, until it is dropped.
pub struct PodWatch<C: Count> {
    seen: Arc<Mutex<Seen<C>>>,
    task: JoinHandle<()>,
}

/// What was seen so far.
pub struct Seen<C: Count> {
    /// By UID.
    pods: BTreeMap<String, C::Of>,
    begun: bool,
    trouble: Option<String>,
    /// How many events there were.
    pub events: usize,
    /// What was counted.
    pub counted: C,
}

impl<C: Count> Seen<C> {
    fn take(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => return,
            Event::InitApply(pod) | Event::Apply(pod) => {
                self.events += 1;
                let is_new = self
                    .pods
                    .insert(pod.uid().unwrap_or_default(), C::of(&pod))
                    .is_none();
                if self.begun && is_new {
                    self.counted.made(&pod);
                }
            }
            Event::InitDone => {
                if self.begun {
                    self.trouble = Some("the watch broke, and events may have been missed".to_owned());
                }
                self.begun = true;
            }
            Event::Delete(pod) => {
                self.events += 1;
                self.pods.remove(&pod.uid().unwrap_or_default());
            }
        }
        if self.begun {
            self.counted.count(self.pods.values());
        }
    }

    /// Fails if an event may have been missed.
    pub fn is_whole(&self) -> Result<()> {
        if let Some(trouble) = &self.trouble {
            bail!("the watch on pods: {trouble}");
        }
        Ok(())
    }
}

impl<C: Count> PodWatch<C> {
    /// Begins to watch.
    pub async fn begin(lab: &Lab, counted: C) -> Result<Self> {
        let seen = Arc::new(Mutex::new(Seen {
            pods: BTreeMap::new(),
            begun: false,
            trouble: None,
            events: 0,
            counted,
        }));
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
        let watch = Self { seen, task };
        lab.until("the watch on pods", BEGUN, async || {
            Ok(watch.seen().begun.then_some(()))
        })
        .await?;
        Ok(watch)
    }

    /// What was seen so far; no event is taken until it is dropped.
    pub fn seen(&self) -> MutexGuard<'_, Seen<C>> {
        lock(&self.seen)
    }
}

impl<C: Count> Drop for PodWatch<C> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<C: Count>(seen: &Mutex<Seen<C>>) -> MutexGuard<'_, Seen<C>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
