//! Counts the pods of a namespace that belong to a controller, at every change of any of them.

use anyhow::{Result, ensure};
use godwit_crds::MIGRATION_LABEL;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::suite::Lab;
use crate::suite::failures::agents::is_ready;
use crate::suite::pod_watch::{Count, PodWatch};

/// A count at every pod event, until it is dropped.
pub(super) struct Census(PodWatch<Owned>);

#[derive(Debug)]
struct Owned {
    fewest: usize,
    fewest_ready: usize,
    most: usize,
    /// Pods that an owner has made since the beginning.
    made: Vec<String>,
}

impl Count for Owned {
    /// Whether it counts, and whether it is ready.
    type Of = (bool, bool);

    fn of(pod: &Pod) -> Self::Of {
        (counts(pod), is_ready(pod))
    }

    fn made(&mut self, pod: &Pod) {
        // A target belongs to nobody at first, and has the label.
        if is_owned(pod) && !pod.labels().contains_key(MIGRATION_LABEL) {
            self.made.push(pod.name_any());
        }
    }

    fn count<'a>(&mut self, pods: impl Iterator<Item = &'a Self::Of> + Clone) {
        let counting = pods.filter(|(counts, _)| *counts);
        let now = counting.clone().count();
        self.fewest = self.fewest.min(now);
        self.most = self.most.max(now);
        self.fewest_ready = self
            .fewest_ready
            .min(counting.filter(|(_, ready)| *ready).count());
    }
}

impl Census {
    /// Begins to count.
    pub(super) async fn begin(lab: &Lab) -> Result<Self> {
        let none = Owned {
            fewest: usize::MAX,
            fewest_ready: usize::MAX,
            most: 0,
            made: Vec::new(),
        };
        PodWatch::begin(lab, none).await.map(Self)
    }

    /// Fails unless there were at least `fewest` at every moment, and owners have made exactly `made` pods.
    pub(super) fn says(&self, fewest: usize, made: usize) -> Result<()> {
        let seen = self.0.seen();
        let counted = &seen.counted;
        println!(
            "        {} pod events: {} to {} pods counted, made by owners: {:?}",
            seen.events, counted.fewest, counted.most, counted.made
        );
        seen.is_whole()?;
        ensure!(
            counted.fewest >= fewest,
            "there were only {} pods at a moment",
            counted.fewest
        );
        ensure!(counted.made.len() == made, "owners have made {:?}", counted.made);
        Ok(())
    }

    /// Fails unless there were at least so many at every moment that were ready as well.
    pub(super) fn ready(&self, fewest: usize) -> Result<()> {
        let found = self.0.seen().counted.fewest_ready;
        ensure!(found >= fewest, "only {found} pods were ready at a moment");
        Ok(())
    }
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
