//! Watches every pod event of a stateful set: who makes its pods, and how many of its workloads are there.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use godwit_crds::{MIGRATION_UID_ANNOTATION, STAND_IN_LABEL};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::suite::Lab;
use crate::suite::failures::agents::is_ready;
use crate::suite::pod_watch::{Count, PodWatch};

/// A look at every pod event, until it is dropped.
pub(super) struct Names(PodWatch<Workloads>);

#[derive(Debug)]
struct Workloads {
    /// Pods made since the beginning that Godwit has not made.
    foreign: Vec<String>,
    /// The fewest names of which there was a pod, and a Ready one.
    fewest: usize,
    fewest_ready: usize,
}

impl Count for Workloads {
    /// The name that the pod has or stands in for, and whether it is Ready.
    type Of = (String, bool);

    fn of(pod: &Pod) -> Self::Of {
        let name = pod.labels().get(STAND_IN_LABEL).cloned();
        (name.unwrap_or_else(|| pod.name_any()), is_ready(pod))
    }

    fn made(&mut self, pod: &Pod) {
        if !pod.annotations().contains_key(MIGRATION_UID_ANNOTATION) {
            self.foreign.push(pod.name_any());
        }
    }

    fn count<'a>(&mut self, pods: impl Iterator<Item = &'a Self::Of> + Clone) {
        let names = |only_ready: bool| {
            let pods = pods.clone().filter(|(_, ready)| *ready || !only_ready);
            pods.map(|(name, _)| name).collect::<BTreeSet<_>>().len()
        };
        self.fewest = self.fewest.min(names(false));
        self.fewest_ready = self.fewest_ready.min(names(true));
    }
}

impl Names {
    /// Begins to watch.
    pub(super) async fn begin(lab: &Lab) -> Result<Self> {
        let none = Workloads {
            foreign: Vec::new(),
            fewest: usize::MAX,
            fewest_ready: usize::MAX,
        };
        PodWatch::begin(lab, none).await.map(Self)
    }

    /// Fails unless each of so many names had a pod or a stand-in at every moment, so many of them a Ready one, and nobody but
    /// Godwit has made a pod.
    pub(super) fn says(&self, fewest: usize, ready: usize) -> Result<()> {
        let seen = self.0.seen();
        let counted = &seen.counted;
        println!(
            "        {} pod events: at least {} workloads, {} of them ready; made by others: {:?}",
            seen.events, counted.fewest, counted.fewest_ready, counted.foreign
        );
        seen.is_whole()?;
        ensure!(
            counted.foreign.is_empty(),
            "others have made {:?}",
            counted.foreign
        );
        ensure!(counted.fewest >= fewest, "a name had neither pod nor stand-in");
        ensure!(
            counted.fewest_ready >= ready,
            "only {} workloads were ready at a moment",
            counted.fewest_ready
        );
        Ok(())
    }
}
