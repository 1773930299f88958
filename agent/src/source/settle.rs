//! After the commit: the target is let go, the address goes to it, the source stays silent until its pod is gone.
//! Nothing here ever thaws the source.

use std::{collections::BTreeSet, fs, io, path::PathBuf, sync::Arc};

use godwit_container::cgroup::{Freezer, State, Version};
use godwit_crds::{PodMigration, SourceState, TargetState};
use godwit_network::hold::{self, ActiveHold};
use godwit_transfer::{Committed, Empty, Event, Message};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{sync::watch, task, time::Instant};

use super::{freeze::Freeze, sessions, status::SourceStatus};
use crate::{
    carry::{self, Carried, HandOver, Leaver, NodeAt},
    failure::{AtStep, Failure, chain},
    fault::{self, Side},
    haste::Haste,
    journal::{Journal, SourceEntry},
    metrics::{Metrics, ResultLabel, RoleLabel},
    netns,
    node::Node,
    peer::{Receiver, Sender},
    step::SourceStep,
};

/// A committed migration at its source.
pub(super) struct Settling<'a> {
    pub(super) node: Arc<Node>,
    pub(super) uid: String,
    pub(super) journal: &'a mut Journal<SourceEntry>,
    pub(super) status: &'a mut SourceStatus,
    pub(super) addresses: Vec<String>,
    pub(super) netns: Option<PathBuf>,
    pub(super) pod_uid: String,
    pub(super) target_node: String,
    pub(super) target_address: String,
    pub(super) hold: Option<ActiveHold>,
    pub(super) link: Option<(Sender, Receiver)>,
    /// Until the pod's packets go on.
    pub(super) haste: Option<Haste>,
}

impl<'a> Settling<'a> {
    /// What a restarted agent still has to do; `None` if the target has been heard already.
    pub(super) fn resumed(
        node: Arc<Node>,
        uid: &str,
        journal: &'a mut Journal<SourceEntry>,
        status: &'a mut SourceStatus,
    ) -> Option<Self> {
        let mut settling = Self {
            node,
            uid: uid.to_owned(),
            addresses: Vec::new(),
            netns: None,
            pod_uid: String::new(),
            target_node: String::new(),
            target_address: String::new(),
            hold: None,
            link: None,
            haste: None,
            journal,
            status,
        };
        for entry in settling.journal.entries() {
            match entry {
                SourceEntry::Begun {
                    source_pod_uid,
                    target_node,
                    target_address,
                    ..
                } => {
                    settling.pod_uid.clone_from(source_pod_uid);
                    settling.target_node.clone_from(target_node);
                    settling.target_address.clone_from(target_address);
                }
                SourceEntry::HoldPrepared { netns } => settling.netns = Some(netns.clone()),
                SourceEntry::Committed { addresses } => settling.addresses.clone_from(addresses),
                SourceEntry::Released { .. } => return None,
                SourceEntry::Throttled { .. }
                | SourceEntry::CheckpointPrepared { .. }
                | SourceEntry::Bystander { .. }
                | SourceEntry::Freezing
                | SourceEntry::RolledBack { .. } => {}
            }
        }
        Some(settling)
    }

    /// Until the target runs and has the address.
    pub(super) async fn run(
        mut self,
        updates: &mut watch::Receiver<Arc<PodMigration>>,
        freeze: Option<Freeze>,
        metrics: &Metrics,
    ) -> Result<(), Failure> {
        self.silence().await;
        if let Some((sender, _)) = &self.link {
            let committed = Message::Committed(Committed {
                addresses: self.addresses.clone(),
            });
            if let Err(error) = sender.send(committed).await {
                tracing::warn!(
                    error = chain(&error),
                    "the commit could not be told; the target will ask"
                );
                self.link = None;
            }
        }
        self.status.say(|report| report.state = SourceState::Committed);
        after_commit(SourceStep::AwaitRunning).await;
        let hand_over = match self.node.carry.surveyed(&self.pod_uid) {
            Some(hand_over) => Some(hand_over),
            None => self.survey_again().await,
        };
        let node = self.node.clone();
        let forwarding = async {
            if let Some(hand_over) = &hand_over {
                node.carry.forward(hand_over).await;
            }
        };
        let target = async {
            let carried = self.running(updates).await;
            (carried, Instant::now())
        };
        // The packets are held until both have happened.
        let ((carried, running), ()) = tokio::join!(target, forwarding);
        after_commit(SourceStep::Carry).await;
        self.carry(hand_over, &carried).await;
        self.haste = None;
        self.doom().await;
        let in_freeze = self.link.as_ref().map_or(0, |(sender, _)| sender.object_bytes());
        let bytes = in_freeze + freeze.map_or(0, |freeze| freeze.sent_ahead());
        self.journal
            .append(SourceEntry::Released { carried })
            .at(SourceStep::Carry)?;
        self.status.say(|report| {
            report.state = SourceState::Released;
            report.bytes_sent = i64::try_from(bytes).unwrap_or(i64::MAX);
            report.freeze = freeze.map(|freeze| freeze.timings(running));
        });
        metrics.sent(bytes);
        metrics.ended(RoleLabel::Source, ResultLabel::Succeeded);
        if let Some(freeze) = freeze {
            metrics.frozen(freeze.length(running));
            if let Some(fixed) = freeze.fixed(running) {
                self.node.freeze_cost.learn(fixed);
            }
        }
        if let Some((sender, _)) = &self.link {
            // Only a courtesy: the target knows that it runs.
            let _ = sender.send(Message::Released(Empty {})).await;
        }
        remove_files(&self.node, &self.uid);
        Ok(())
    }

    /// A restarted agent has lost the queue that held the packets; the rule that drops output may be lost with it.
    async fn silence(&self) {
        let (None, Some(netns)) = (&self.hold, &self.netns) else {
            return;
        };
        let silenced = match netns::open(&self.node.host, netns) {
            Ok(netns) => hold::silence(&netns).await,
            Err(error) => Err(error),
        };
        if let Err(error) = silenced {
            tracing::warn!(
                error = chain(&error),
                "the source's network namespace may still speak, if it is still there"
            );
        }
    }

    /// Signals every process of the source to die while all are frozen, so that none runs an instruction when the pod is deleted.
    ///
    /// With cgroup v1 `runc kill` signals the first process and thaws: the others would run until the kernel, ending the
    /// PID namespace, gets to them. With v2 a frozen process dies at once, and kubelet would restart the container.
    ///
    /// Sessions are told before.
    async fn doom(&self) {
        let freezers = self.journal.entries().iter().filter_map(|entry| match entry {
            SourceEntry::CheckpointPrepared { freezer, .. } | SourceEntry::Bystander { freezer, .. } => {
                Some(freezer.clone())
            }
            _ => None,
        });
        let freezers: Vec<Freezer> = freezers.collect();
        let host = self.node.host.clone();
        let note = format!(
            "This container has moved to node {}; this session ends here.",
            self.target_node
        );
        let doomed = task::spawn_blocking(move || {
            let told = freezers
                .iter()
                .map(|freezer| sessions::tell(&host, &freezer.processes().unwrap_or_default(), &note))
                .sum::<usize>();
            let of_v1 = freezers.iter().filter(|freezer| freezer.version() == Version::V1);
            (told, of_v1.map(signal_all).sum::<usize>())
        });
        let (sessions, processes) = doomed.await.unwrap_or_default();
        tracing::info!(sessions, processes, "the source will die without waking up");
    }

    /// Waits for the target, by whichever way it is heard first: the connection, or its own status.
    async fn running(&mut self, updates: &mut watch::Receiver<Arc<PodMigration>>) -> Vec<String> {
        loop {
            let by_status = updates
                .borrow_and_update()
                .status
                .as_ref()
                .and_then(|status| status.target.clone());
            if let Some(target) = by_status
                && target.state == TargetState::Running
            {
                return target.carried;
            }
            tokio::select! {
                heard = hear(&mut self.link) => match heard {
                    Some(carried) => return carried,
                    None => self.link = None,
                },
                changed = updates.changed() => if changed.is_err() {
                    // The object was removed by force. The commit stands; the target has it in its own journal.
                    tracing::warn!("the PodMigration is gone after the commit; the addresses go to the target");
                    return self.addresses.clone();
                }
            }
        }
    }

    async fn carry(&mut self, hand_over: Option<HandOver>, carried: &[String]) {
        if let Some(hand_over) = hand_over {
            for (home, address, holder) in self.node.carry.hand_over(hand_over, carried).await {
                carry::tell_home(self.node.clone(), home, address, holder);
            }
        }
        if let Some(hold) = self.hold.take()
            && let Err(error) = hold.release_forward().await
        {
            tracing::warn!(
                error = chain(&error),
                "held packets could not be forwarded; their senders will repeat them"
            );
        }
    }
}

impl Settling<'_> {
    /// A restarted agent has lost what it had found out before the freeze.
    async fn survey_again(&self) -> Option<HandOver> {
        let own_address = self.addresses.first()?.parse().ok()?;
        let target = NodeAt {
            name: self.target_node.clone(),
            address: self.target_address.parse().ok()?,
        };
        let mut addresses = vec![Carried {
            address: own_address,
            home: self.node.carry.me().clone(),
        }];
        addresses.extend(self.node.carry.carried_by(&self.pod_uid));
        let leaver = Leaver {
            pod_uid: self.pod_uid.clone(),
            netns: self.netns.clone()?,
            pod_address: own_address,
            addresses,
            target,
        };
        let surveyed = self.node.carry.survey(leaver).await;
        surveyed
            .inspect_err(|error| tracing::warn!(error = chain(error), "the addresses cannot be carried"))
            .ok()?;
        self.node.carry.surveyed(&self.pod_uid)
    }
}

/// Sends SIGKILL to every process of a container that is frozen; gives how many there were. Without effect on one that is not.
fn signal_all(freezer: &Freezer) -> usize {
    let frozen = freezer.state().is_ok_and(|state| state == State::Frozen);
    let processes = if frozen {
        freezer.processes().unwrap_or_default()
    } else {
        BTreeSet::new()
    };
    for pid in &processes {
        // Frozen processes neither end nor fork, so the list stays true.
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    processes.len()
}

/// What the target says on the connection; `None` when the connection is gone. Pending without one.
async fn hear(link: &mut Option<(Sender, Receiver)>) -> Option<Vec<String>> {
    let Some((_, receiver)) = link else {
        return std::future::pending().await;
    };
    loop {
        match receiver.recv().await {
            Ok(Event::Message(Message::Running(running))) => return Some(running.carried),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "the connection broke after the commit; the target will ask"
                );
                return None;
            }
        }
    }
}

/// Waits until the operator has ended the migration, or the object is gone.
pub(super) async fn until_final(updates: &mut watch::Receiver<Arc<PodMigration>>) {
    let over = |migration: &Arc<PodMigration>| {
        migration
            .status
            .as_ref()
            .is_some_and(|status| status.phase.is_final())
    };
    // An error means that the object is gone.
    let _ = updates.wait_for(over).await;
}

/// A step after the commit: it cannot fail any more, but a test may have the agent die here.
async fn after_commit(step: SourceStep) {
    tracing::info!(%step, "step");
    let _ = fault::point(Side::Source, step).await;
}

/// Removes the last trace.
pub(super) fn forget(node: &Node, uid: &str, journal: Journal<SourceEntry>) -> Result<(), Failure> {
    remove_files(node, uid);
    journal.remove().at(SourceStep::CleanUp)
}

/// Removes images and gates.
fn remove_files(node: &Node, uid: &str) {
    for directory in [
        node.layout.images_dir().join(uid),
        node.layout.gates_dir().join(uid),
    ] {
        if let Err(error) = fs::remove_dir_all(&directory)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, directory = %directory.display(), "could not be removed");
        }
    }
}
