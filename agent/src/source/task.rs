//! A migration at its source, from the plan to the removal of the last trace. The commit is decided here and nowhere else.

use std::{sync::Arc, time::Duration};

use godwit_crds::{PodMigration, SourceState};
use godwit_transfer::{Abort, Message};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tracing::Instrument;

use super::{
    attempt::Attempt,
    facts::SourcePod,
    freeze::Freeze,
    logs::Logs,
    memory::MemoryWish,
    settle::{self, Settling},
    status::SourceStatus,
    undo::undo,
};
use crate::{
    called_off::{called_off, wish},
    failure::{AtStep, Failure, chain},
    fault::Side,
    journal::{Journal, SourceEntry, SourceResume, resume_source},
    kube_side::SourceReporter,
    metrics::{Metrics, ResultLabel, RoleLabel},
    node::{Node, instant_of},
    progress::Progress,
    step::SourceStep,
    undisturbed::Undisturbed,
    verdicts::{Answer, Verdicts},
};

/// How long the peer is given to hear that it is over.
const FAREWELL: Duration = Duration::from_secs(1);

/// A migration whose source is on this node.
pub struct SourceTask {
    /// The node.
    pub node: Arc<Node>,
    /// The object, as it changes; closed when it is gone.
    pub updates: watch::Receiver<Arc<PodMigration>>,
    /// What targets are told that ask.
    pub verdicts: Arc<Verdicts>,
    /// Figures.
    pub metrics: Metrics,
}

impl SourceTask {
    /// Runs the migration to its end on this node. Never fails: whatever happens ends in a rollback or in a released source.
    pub async fn run(self) {
        let migration = self.updates.borrow().clone();
        let (Some(uid), Some(name)) = (migration.metadata.uid.clone(), migration.metadata.name.clone())
        else {
            return;
        };
        let span = tracing::info_span!("migration", role = "source", %uid, %name);
        if let Err(failure) = self.run_by_journal(&migration, &uid).instrument(span).await {
            tracing::error!(%uid, %failure, "the migration cannot be taken on");
        }
    }

    async fn run_by_journal(mut self, migration: &PodMigration, uid: &str) -> Result<(), Failure> {
        let step = SourceStep::Discover;
        let mut journal: Journal<SourceEntry> = self.node.journals.open(uid, "source").at(step)?;
        let resumed = resume_source(journal.entries());
        let reporter = SourceReporter::start(&self.node.client, migration)
            .ok_or_else(|| Failure::new(step, "Internal", "the object has no name"))?;
        let seen = migration
            .status
            .as_ref()
            .and_then(|status| status.source.as_ref());
        let seen = seen.map(|report| report.preflight.clone()).unwrap_or_default();
        let mut status = SourceStatus::new(reporter, seen, resumed != SourceResume::Nothing);
        match resumed {
            SourceResume::Nothing => return self.run_anew(migration, uid, journal, status).await,
            SourceResume::RollBack => {
                let entries = journal.entries().to_vec();
                undo(&self.node, &entries, None).await;
                let message =
                    "the source's agent was restarted before the commit; the source runs on where it was";
                let failure = Failure::new("Restart", "AgentRestarted", message);
                self.rolled_back(uid, journal, &mut status, &failure).await
            }
            SourceResume::ReportRollback { reason, message } => {
                status.rolled_back(&Failure::new("Restart", &reason, message));
                self.verdicts.set(uid, Answer::Aborted);
                settle::until_final(&mut self.updates).await;
                settle::forget(&self.node, uid, journal)
            }
            SourceResume::AwaitRunning | SourceResume::AwaitRemoval => {
                self.verdicts.set(uid, Answer::Committed);
                if let Some(settling) = Settling::resumed(self.node.clone(), uid, &mut journal, &mut status) {
                    settling.run(&mut self.updates, None, &self.metrics).await?;
                }
                settle::until_final(&mut self.updates).await;
                settle::forget(&self.node, uid, journal)
            }
        }?;
        self.verdicts.remove(uid);
        Ok(())
    }

    async fn run_anew(
        mut self,
        migration: &PodMigration,
        uid: &str,
        mut journal: Journal<SourceEntry>,
        mut status: SourceStatus,
    ) -> Result<(), Failure> {
        let step = SourceStep::Discover;
        let Some(plan) = migration.status.as_ref().and_then(|status| status.plan.clone()) else {
            return Err(Failure::new(step, "PlanIncomplete", "there is no plan"));
        };
        let deadline = instant_of(plan.deadline.0);
        let wish = MemoryWish::of(&migration.spec)?;
        journal
            .append(SourceEntry::Begun {
                namespace: migration.metadata.namespace.clone().unwrap_or_default(),
                name: migration.metadata.name.clone().unwrap_or_default(),
                source_pod_uid: plan.source_pod_uid.clone(),
                target_node: plan.target_node.clone().unwrap_or_default(),
                target_address: plan.target_address.clone().unwrap_or_default(),
            })
            .at(step)?;
        self.verdicts.set(uid, Answer::Undecided);
        status.say(|report| report.state = SourceState::Copying);
        let progress = Arc::new(Progress::new(Side::Source, step));
        let mut attempt = Attempt {
            node: self.node.clone(),
            migration_uid: uid.to_owned(),
            namespace: migration.metadata.namespace.clone().unwrap_or_default(),
            pod_name: migration.spec.pod_name.clone(),
            plan,
            deadline,
            progress: progress.clone(),
            journal,
            status,
            prepared_hold: None,
            hold: None,
            link: None,
            manifest: None,
            haste: None,
            restart: migration.spec.restart_containers.clone(),
            accept: migration.spec.accept.clone(),
            wish,
            memory: None,
            tracked: Vec::new(),
            logs: Logs::default(),
            undisturbed: Undisturbed::default(),
        };
        let prepared = tokio::select! {
            prepared = up_to_prepared(&mut attempt) => prepared,
            failure = called_off(&mut self.updates, deadline, || progress.step().to_string()) => Err(failure),
        };
        let committed = match prepared {
            Ok((pod, freeze)) => self
                .commit(&mut attempt, &pod, &freeze)
                .await
                .map(|()| (pod, freeze)),
            Err(failure) => Err(failure),
        };
        match committed {
            Ok((pod, freeze)) => {
                self.verdicts.set(uid, Answer::Committed);
                attempt.end_logs().await;
                let link = attempt.link.take();
                let settling = Settling {
                    node: self.node.clone(),
                    uid: uid.to_owned(),
                    journal: &mut attempt.journal,
                    status: &mut attempt.status,
                    addresses: pod.address_texts(),
                    netns: Some(pod.netns),
                    pod_uid: attempt.plan.source_pod_uid.clone(),
                    target_node: attempt.plan.target_node.clone().unwrap_or_default(),
                    target_address: attempt.plan.target_address.clone().unwrap_or_default(),
                    hold: attempt.hold.take(),
                    link,
                    haste: attempt.haste.take(),
                };
                settling
                    .run(&mut self.updates, Some(freeze), &self.metrics)
                    .await?;
                attempt.tracked.clear();
                settle::until_final(&mut self.updates).await;
                settle::forget(&self.node, uid, attempt.journal)?;
            }
            Err(failure) => {
                tracing::warn!(%failure, "rolling back");
                // New connections come in again, before the rules go.
                attempt.prepared_hold = None;
                if let Some((sender, _)) = attempt.link.take() {
                    let abort = Message::Abort(Abort::new(&failure.step, &failure.reason, &failure.message));
                    let _ = timeout(FAREWELL, sender.send(abort)).await;
                }
                attempt.tracked.clear();
                // With its hands on the containers' streams.
                attempt.logs = Logs::default();
                // What was dropped half-way comes to its end before it is undone.
                attempt.undisturbed.settled().await;
                let entries = attempt.journal.entries().to_vec();
                undo(&self.node, &entries, attempt.hold.take()).await;
                self.node.carry.keep(&attempt.plan.source_pod_uid).await;
                attempt.haste = None;
                self.rolled_back(uid, attempt.journal, &mut attempt.status, &failure)
                    .await?;
            }
        }
        self.verdicts.remove(uid);
        Ok(())
    }

    /// The decision. Up to the line that appends `Committed` the source can go back; after it, never.
    async fn commit(
        &mut self,
        attempt: &mut Attempt,
        pod: &SourcePod,
        freeze: &Freeze,
    ) -> Result<(), Failure> {
        let step = SourceStep::Commit;
        attempt.enter(step).await?;
        if let Some((reason, message)) = wish(&self.updates.borrow()) {
            return Err(Failure::new(step, reason, message));
        }
        if Instant::now() >= attempt.deadline {
            return Err(Failure::new(
                step,
                "TimedOut",
                "spec.timeout passed just before the commit",
            ));
        }
        freeze.within(attempt.wish.budget)?;
        attempt
            .journal
            .append(SourceEntry::Committed {
                addresses: pod.address_texts(),
            })
            .at(step)
    }

    /// The source runs on: says so, and stays until the operator has drawn the consequences, for a target may ask.
    async fn rolled_back(
        &mut self,
        uid: &str,
        mut journal: Journal<SourceEntry>,
        status: &mut SourceStatus,
        failure: &Failure,
    ) -> Result<(), Failure> {
        let entry = SourceEntry::RolledBack {
            reason: failure.reason.clone(),
            message: failure.message.clone(),
        };
        if let Err(error) = journal.append(entry) {
            tracing::warn!(
                error = chain(&error),
                "the rollback could not be journaled; a restart would do it again"
            );
        }
        self.verdicts.set(uid, Answer::Aborted);
        self.metrics.ended(RoleLabel::Source, ResultLabel::Failed);
        status.rolled_back(failure);
        settle::until_final(&mut self.updates).await;
        settle::forget(&self.node, uid, journal)
    }
}

async fn up_to_prepared(attempt: &mut Attempt) -> Result<(SourcePod, Freeze), Failure> {
    let (pod, calls, bases) = attempt.prepare().await?;
    let freeze = attempt.freeze(&pod, &calls, bases).await?;
    Ok((pod, freeze))
}
