//! From nothing to *prepared*: every container restored and held at the target, the source frozen. Whoever drops the
//! attempt, or gets an error from it, has to [undo](super::undo) it.

use std::{mem, sync::Arc};

use godwit_crds::{Plan, SourceState};
use godwit_network::hold::{ActiveHold, Hold, PreparedHold, QueueNumbers};
use godwit_transfer::Manifest;
use tokio::time::Instant;

use super::{
    dump::Waiting,
    facts::SourcePod,
    logs::Logs,
    memory::{Memory, MemoryWish, Tracked},
    shared,
    status::SourceStatus,
};
use crate::{
    carry::Leaver,
    failure::{AtStep, Failure},
    files,
    haste::Haste,
    journal::{Journal, SourceEntry},
    netns,
    node::Node,
    peer::{Receiver, Sender},
    progress::Progress,
    step::SourceStep,
    undisturbed::Undisturbed,
};

/// Everything that one attempt has taken hold of.
pub(super) struct Attempt {
    pub(super) node: Arc<Node>,
    pub(super) migration_uid: String,
    pub(super) namespace: String,
    pub(super) pod_name: String,
    pub(super) plan: Plan,
    pub(super) deadline: Instant,
    pub(super) progress: Arc<Progress<SourceStep>>,
    pub(super) journal: Journal<SourceEntry>,
    pub(super) status: SourceStatus,
    /// The hold, before the freeze.
    pub(super) prepared_hold: Option<PreparedHold>,
    /// The hold, from the freeze on.
    pub(super) hold: Option<ActiveHold>,
    pub(super) link: Option<(Sender, Receiver)>,
    /// What was agreed with the target.
    pub(super) manifest: Option<Manifest>,
    /// From the freeze on.
    pub(super) haste: Option<Haste>,
    /// Containers that are not moved, by name.
    pub(super) restart: Vec<String>,
    /// Checks whose refusals are accepted, by name.
    pub(super) accept: Vec<String>,
    /// What the migration asks for.
    pub(super) wish: MemoryWish,
    /// The pod's memory, if it travels ahead.
    pub(super) memory: Option<Memory>,
    /// The same when all of it has been sent: what ends tracking.
    pub(super) tracked: Vec<Tracked>,
    /// The containers' logs.
    pub(super) logs: Logs,
    /// What is to come to its end before it is undone.
    pub(super) undisturbed: Undisturbed,
}

impl Attempt {
    pub(super) async fn enter(&self, step: SourceStep) -> Result<(), Failure> {
        self.progress.enter(step).await
    }

    /// Everything that can be done while the source runs. Gives the pod and the runtime calls that wait at their gates.
    pub(super) async fn prepare(&mut self) -> Result<(SourcePod, Vec<Waiting>, Vec<files::Base>), Failure> {
        self.enter(SourceStep::Discover).await?;
        let pod = self.discover().await?;
        shared::prepare(&self.node.host, &pod).await?;
        self.logs = Logs::open(&self.node.host, &pod);
        self.enter(SourceStep::TrackMemory).await?;
        self.track_memory(&pod).await?;
        self.enter(SourceStep::Connect).await?;
        self.connect(&pod).await?;
        self.enter(SourceStep::PrepareHold).await?;
        self.prepare_hold(&pod).await?;
        self.enter(SourceStep::CopyFiles).await?;
        let bases = self.copy_files(&pod).await?;
        self.send_logs(SourceStep::CopyFiles).await?;
        self.enter(SourceStep::CopyMemory).await?;
        self.copy_memory().await?;
        // Memory may have taken minutes.
        let bases = self.copy_files_again(bases).await?;
        self.enter(SourceStep::PrepareCheckpoint).await?;
        let calls = self.prepare_checkpoints(&pod).await?;
        self.enter(SourceStep::EndParking).await?;
        self.status.say(|report| report.state = SourceState::Switching);
        self.end_parking(&pod).await?;
        Ok((pod, calls, bases))
    }

    async fn prepare_hold(&mut self, pod: &SourcePod) -> Result<(), Failure> {
        let step = SourceStep::PrepareHold;
        self.journal
            .append(SourceEntry::HoldPrepared {
                netns: pod.netns.clone(),
            })
            .at(step)?;
        let netns = netns::open(&self.node.host, &pod.netns).at(step)?;
        let hold = self
            .undisturbed
            .run(Hold::prepare(netns, QueueNumbers::default()))
            .await;
        self.prepared_hold = Some(hold.at(step)?);
        let leaver = Leaver {
            pod_uid: self.plan.source_pod_uid.clone(),
            netns: pod.netns.clone(),
            pod_address: pod.own_address,
            addresses: pod.addresses.clone(),
            target: self.target_at()?,
        };
        self.node.carry.survey(leaver).await.at(step)
    }

    /// What the containers have logged so far.
    pub(super) async fn send_logs(&mut self, step: SourceStep) -> Result<(), Failure> {
        let sender = self.sender(step)?.clone();
        self.logs.send(&sender).await;
        Ok(())
    }

    /// The last of the logs, once the decision is made: nothing of it can be taken back.
    pub(super) async fn end_logs(&mut self) {
        let mut logs = mem::take(&mut self.logs);
        if let Some((sender, _)) = &self.link {
            let node = self.plan.target_node.as_deref().unwrap_or_default();
            let pod = self.plan.target_pod_name.as_deref().unwrap_or_default();
            logs.end(
                sender,
                &format!("This container has moved to node {node}, as part of pod {pod}."),
            )
            .await;
        }
        self.status.warn(logs.into_warnings());
    }
}
