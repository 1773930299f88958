//! A migration at its target, from the plan to the last trace.

use std::{fs, io, sync::Arc, time::Duration};

use godwit_crds::{PodMigration, TargetState};
use godwit_transfer::{Abort, Manifest, Message};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tracing::Instrument;

use super::{
    attempt::Attempt,
    container::TargetContainer,
    doors::Doors,
    inbox::Inbox,
    link::{Link, turn_away},
    restoring::Held,
    status::TargetStatus,
    verdict::{self, Decision},
};
use crate::{
    called_off::wish,
    failure::{AtStep, Failure, chain},
    fault::Side,
    journal::{Journal, TargetEntry, TargetResume, resume_target},
    kube_side::TargetReporter,
    metrics::Metrics,
    node::{Node, instant_of},
    peer::{Receiver, Sender},
    progress::Progress,
    step::TargetStep,
};

/// How much later than the source the target gives up: the source decides, and says so first.
const AFTER_THE_SOURCE: Duration = Duration::from_secs(10);
/// How long the peer is given to hear that it is over.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// A migration whose target is on this node.
pub struct TargetTask {
    /// The node.
    pub node: Arc<Node>,
    /// The object, as it changes; closed when it is gone.
    pub updates: watch::Receiver<Arc<PodMigration>>,
    /// By what the source's agent comes.
    pub doors: Doors,
    /// Figures.
    pub metrics: Metrics,
}

/// Who decides, and what it was told of.
pub(super) struct Parties {
    pub(super) uid: String,
    pub(super) pod_uid: String,
    pub(super) source_node: String,
    pub(super) source_address: String,
}

impl TargetTask {
    /// Runs the migration to its end on this node. Never fails: it ends with a pod that runs, or with nothing.
    pub async fn run(self) {
        let migration = self.updates.borrow().clone();
        let (Some(uid), Some(name)) = (migration.metadata.uid.clone(), migration.metadata.name.clone())
        else {
            return;
        };
        let span = tracing::info_span!("migration", role = "target", %uid, %name);
        if let Err(failure) = self.run_by_journal(&migration, &uid).instrument(span).await {
            tracing::error!(%uid, %failure, "the migration cannot be taken on");
        }
    }

    async fn run_by_journal(mut self, migration: &PodMigration, uid: &str) -> Result<(), Failure> {
        let step = TargetStep::Accept;
        let journal: Journal<TargetEntry> = self.node.journals.open(uid, "target").at(step)?;
        let resumed = resume_target(journal.entries());
        let reporter = TargetReporter::start(&self.node.client, migration)
            .ok_or_else(|| Failure::new(step, "Internal", "the object has no name"))?;
        let mut status = TargetStatus::new(reporter, resumed != TargetResume::Nothing);
        if resumed == TargetResume::Nothing {
            return self.run_anew(migration, uid, journal, status).await;
        }
        let Some((parties, containers)) = self.reopen(uid, &journal) else {
            return journal.remove().at(step);
        };
        match resumed {
            TargetResume::Nothing => Ok(()),
            TargetResume::Abort => {
                let message = "the target's agent was restarted before everything was held";
                let failure = Failure::new("Restart", "AgentRestarted", message);
                self.abort(&parties, journal, &containers, &mut status, &failure)
                    .await
            }
            TargetResume::ReportAbort { reason, message } => {
                status.aborted(&Failure::new("Restart", &reason, message));
                self.bury(&parties, journal, &containers).await
            }
            TargetResume::AskVerdict => {
                status.say(TargetState::Holding);
                let held = self.held(&containers);
                self.by_verdict(&parties, journal, containers, held, &mut status)
                    .await
            }
            TargetResume::TellRunning => {
                let carried = self.node.carry.addresses_of(&parties.pod_uid);
                self.settle(&parties, journal, &containers, carried, &mut status)
                    .await
            }
        }
    }

    async fn run_anew(
        mut self,
        migration: &PodMigration,
        uid: &str,
        mut journal: Journal<TargetEntry>,
        mut status: TargetStatus,
    ) -> Result<(), Failure> {
        let step = TargetStep::Accept;
        let plan = migration.status.as_ref().and_then(|status| status.plan.clone());
        let Some((plan, pod_uid)) = plan.and_then(|plan| plan.target_pod_uid.clone().map(|uid| (plan, uid)))
        else {
            return Err(Failure::new(step, "PlanIncomplete", "there is no plan"));
        };
        let source_address = plan.source_address.parse().map_err(|_| {
            Failure::new(
                step,
                "PlanIncomplete",
                format!("`{}` is no IPv4 address of a node", plan.source_address),
            )
        })?;
        let parties = Parties {
            uid: uid.to_owned(),
            pod_uid: pod_uid.clone(),
            source_node: plan.source_node.clone(),
            source_address: plan.source_address.clone(),
        };
        journal
            .append(TargetEntry::Begun {
                namespace: migration.metadata.namespace.clone().unwrap_or_default(),
                name: migration.metadata.name.clone().unwrap_or_default(),
                target_pod_uid: pod_uid.clone(),
                source_node: plan.source_node.clone(),
                source_address: plan.source_address.clone(),
            })
            .at(step)?;
        status.say(TargetState::Ready);
        let deadline = instant_of(plan.deadline.0) + AFTER_THE_SOURCE;
        let Some(Link {
            sender, mut receiver, ..
        }) = self.source_connects(deadline).await
        else {
            let failure = Failure::new(
                step,
                "SourceNeverCame",
                "the source's agent did not connect before the end",
            );
            return self.abort(&parties, journal, &[], &mut status, &failure).await;
        };
        status.say(TargetState::Receiving);
        let mut attempt = Attempt {
            node: self.node.clone(),
            uid: uid.to_owned(),
            pod_uid,
            source_pod_uid: plan.source_pod_uid,
            source_address,
            deadline,
            progress: Arc::new(Progress::new(Side::Target, step)),
            journal,
            containers: Vec::new(),
            sysv_owner: None,
            addresses: Vec::new(),
            manifest: Manifest::default(),
            volumes: Vec::new(),
        };
        let mut inbox = Inbox::new(self.node.layout.images_dir().join(&parties.pod_uid));
        let prepared = tokio::select! {
            prepared = up_to_prepared(
                &mut attempt,
                (&sender, &mut receiver),
                &mut inbox,
                &mut self.doors,
                &mut self.updates,
            ) => prepared,
            () = sleep_until(deadline) => {
                let message = "spec.timeout passed, and the source's agent did not end the migration";
                Err(Failure::new(attempt.progress.step(), "TimedOut", message))
            }
        };
        // What is held, or given up, is never resumed.
        self.doors.close();
        // Open, they would keep kubelet from removing the pod.
        inbox.close_volumes();
        attempt.volumes.clear();
        match prepared {
            Ok(held) => {
                status.say(TargetState::Holding);
                let decision = hear_decision(&mut receiver, &attempt.progress, &mut inbox).await;
                if !matches!(decision, Some(Decision::Aborted)) {
                    status.warn(inbox.logs().settle().await);
                }
                match decision {
                    Some(Decision::Committed) => {
                        let link = Some(&sender);
                        self.let_go(
                            &parties,
                            attempt.journal,
                            &attempt.containers,
                            held,
                            &mut status,
                            link,
                        )
                        .await
                    }
                    Some(Decision::Aborted) => {
                        let failure =
                            Failure::new(TargetStep::AwaitVerdict, "SourceAborted", "the source went back");
                        self.abort(
                            &parties,
                            attempt.journal,
                            &attempt.containers,
                            &mut status,
                            &failure,
                        )
                        .await
                    }
                    None => {
                        let Attempt {
                            journal, containers, ..
                        } = attempt;
                        self.by_verdict(&parties, journal, containers, held, &mut status)
                            .await
                    }
                }
            }
            Err(failure) => {
                let abort = Message::Abort(Abort::new(&failure.step, &failure.reason, &failure.message));
                let _ = timeout(FAREWELL, sender.send(abort)).await;
                self.abort(
                    &parties,
                    attempt.journal,
                    &attempt.containers,
                    &mut status,
                    &failure,
                )
                .await
            }
        }
    }

    /// The source's first connection; `None` if the migration ends without one.
    async fn source_connects(&mut self, deadline: Instant) -> Option<Link> {
        loop {
            let over = {
                let migration = self.updates.borrow_and_update();
                wish(&migration).is_some() || is_final(&migration)
            };
            if over {
                return None;
            }
            tokio::select! {
                link = self.doors.links.recv() => match link {
                    Some(link) if link.resumes.is_some() => drop(tokio::spawn(turn_away(link))),
                    link => return link,
                },
                () = sleep_until(deadline) => return None,
                changed = self.updates.changed() => if changed.is_err() { return None },
            }
        }
    }

    async fn by_verdict(
        &mut self,
        parties: &Parties,
        journal: Journal<TargetEntry>,
        containers: Vec<TargetContainer>,
        held: Held,
        status: &mut TargetStatus,
    ) -> Result<(), Failure> {
        let source = (parties.source_node.as_str(), parties.source_address.as_str());
        match verdict::ask(&self.node, &parties.uid, source, &mut self.updates).await {
            Decision::Committed => {
                self.let_go(parties, journal, &containers, held, status, None)
                    .await
            }
            Decision::Aborted => {
                let failure = Failure::new(TargetStep::AwaitVerdict, "SourceAborted", "the source went back");
                self.abort(parties, journal, &containers, status, &failure).await
            }
        }
    }

    pub(super) async fn until_over(&mut self) {
        // An error means that the object is gone.
        let _ = self.updates.wait_for(|migration| is_final(migration)).await;
    }

    pub(super) fn remove_images(&self, parties: &Parties) {
        remove(&self.node.layout.images_dir().join(&parties.pod_uid));
    }

    pub(super) fn forget(&self, parties: &Parties, journal: Journal<TargetEntry>) -> Result<(), Failure> {
        self.remove_images(parties);
        if let Ok(records) = self.node.layout.pod_records_dir(&parties.pod_uid) {
            remove(&records);
        }
        journal.remove().at(TargetStep::Carry)
    }
}

async fn up_to_prepared(
    attempt: &mut Attempt,
    (sender, receiver): (&Sender, &mut Receiver),
    inbox: &mut Inbox,
    doors: &mut Doors,
    updates: &mut watch::Receiver<Arc<PodMigration>>,
) -> Result<Held, Failure> {
    attempt.agree(sender, receiver).await?;
    attempt.restore((sender, receiver), inbox, doors, updates).await
}

/// The decision, if the source tells it on this connection; `None` if the connection is gone.
async fn hear_decision(
    receiver: &mut Receiver,
    progress: &Progress<TargetStep>,
    inbox: &mut Inbox,
) -> Option<Decision> {
    // A test may want this side to fail here; the decision is the source's all the same.
    let _ = progress.enter(TargetStep::AwaitVerdict).await;
    loop {
        match receiver.recv().await {
            Ok(godwit_transfer::Event::Message(Message::Committed(_))) => return Some(Decision::Committed),
            Ok(godwit_transfer::Event::Message(Message::Abort(_))) => return Some(Decision::Aborted),
            // The ends of the logs.
            Ok(event) => {
                if let Err(error) = inbox.take(event).await {
                    tracing::warn!(error = chain(&error), "what came last could not be kept");
                }
            }
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "the connection broke while everything was held"
                );
                return None;
            }
        }
    }
}

fn is_final(migration: &PodMigration) -> bool {
    migration
        .status
        .as_ref()
        .is_some_and(|status| status.phase.is_final())
}

fn remove(directory: &std::path::Path) {
    if let Err(error) = fs::remove_dir_all(directory)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, directory = %directory.display(), "could not be removed");
    }
}
