//! After the commit: the containers run, and their addresses are routed to them.

use std::time::Duration;

use godwit_container::cgroup::Freezer;
use godwit_network::mute::{Speaking, Voice};
use godwit_transfer::{Message, Running};
use tokio::{
    task,
    time::{Instant, timeout},
};

use super::{
    container::TargetContainer,
    filling,
    restoring::Held,
    status::TargetStatus,
    task::{FAREWELL, Parties, TargetTask},
};
use crate::{
    failure::{AtStep, Failure, chain},
    fault::{self, Side},
    journal::{Journal, TargetEntry},
    metrics::{ResultLabel, RoleLabel},
    netns,
    peer::Sender,
    step::TargetStep,
};

/// How long the kernel may take to thaw.
const THAW_DEADLINE: Duration = Duration::from_secs(5);

impl TargetTask {
    /// The source has committed: the containers run, the addresses are routed to them.
    ///
    /// Nothing is written down before the containers run and can be heard: after a crash in between, this side asks again, and the source's
    /// journal gives the same answer.
    pub(super) async fn let_go(
        &mut self,
        parties: &Parties,
        mut journal: Journal<TargetEntry>,
        containers: &[TargetContainer],
        held: Held,
        status: &mut TargetStatus,
        link: Option<&Sender>,
    ) -> Result<(), Failure> {
        after_the_commit(TargetStep::LetGo).await;
        for container in containers {
            if let Err(error) = container.committed() {
                tracing::warn!(
                    error = chain(&error),
                    "a later restart of the container will be refused"
                );
            }
        }
        // The network first: what the tasks write when they wake up must not be lost, and what comes for them is queued by their sockets.
        let began = Instant::now();
        let (speaking, carried) = tokio::join!(
            self.speak(held.voice, &journal),
            self.node.carry.activate(&parties.pod_uid)
        );
        let routed = began.elapsed();
        thaw(held.freezers).await;
        if let Some(sender) = link {
            let running = Message::Running(Running {
                carried: carried.clone(),
            });
            let _ = timeout(FAREWELL, sender.send(running)).await;
        }
        drop(held.haste);
        tracing::info!(?routed, thawed = ?began.elapsed().saturating_sub(routed), "let go");
        if let Some(speaking) = speaking
            && let Err(error) = speaking.settle().await
        {
            tracing::error!(
                error = chain(&error),
                "what the pod says goes through a queue of this agent until it ends, and nowhere after that"
            );
        }
        journal.append(TargetEntry::Running).at(TargetStep::LetGo)?;
        self.metrics.ended(RoleLabel::Target, ResultLabel::Succeeded);
        self.settle(parties, journal, containers, carried, status).await
    }

    /// The pod runs; what is left is to fill its memory, and to say so.
    pub(super) async fn settle(
        &mut self,
        parties: &Parties,
        journal: Journal<TargetEntry>,
        containers: &[TargetContainer],
        carried: Vec<String>,
        status: &mut TargetStatus,
    ) -> Result<(), Failure> {
        if let Some(memory) = filling::memory(containers) {
            status.memory(memory);
        }
        status.running(carried);
        after_the_commit(TargetStep::Carry).await;
        after_the_commit(TargetStep::Fill).await;
        filling::wait(containers, status).await;
        self.remove_images(parties);
        self.until_over().await;
        self.forget(parties, journal)
    }

    /// Lets the pod's network speak.
    async fn speak(&self, voice: Option<Voice>, journal: &Journal<TargetEntry>) -> Option<Speaking> {
        let begun = match voice {
            Some(voice) => voice.begin(),
            None => self.find_voice(journal).await?.and_then(Voice::begin),
        };
        begun
            .inspect_err(|error| {
                tracing::error!(
                    error = chain(error),
                    "the pod runs, but its network is still mute"
                );
            })
            .ok()
    }

    async fn find_voice(
        &self,
        journal: &Journal<TargetEntry>,
    ) -> Option<Result<Voice, godwit_network::Error>> {
        let place = journal.entries().iter().find_map(|entry| match entry {
            TargetEntry::Addresses { netns, .. } => Some(netns),
            _ => None,
        })?;
        Some(match netns::open(&self.node.host, place) {
            Ok(netns) => Voice::prepare(netns).await,
            Err(error) => Err(error),
        })
    }
}

async fn thaw(freezers: Vec<Freezer>) {
    let thawed = task::spawn_blocking(move || {
        freezers
            .iter()
            .map(|freezer| freezer.thaw(THAW_DEADLINE))
            .collect::<Vec<_>>()
    });
    for result in thawed.await.unwrap_or_default() {
        if let Err(error) = result {
            tracing::error!(error = chain(&error), "a container could not be let go");
        }
    }
}

/// A step after the commit: it cannot fail any more, but a test may have the agent die here.
async fn after_the_commit(step: TargetStep) {
    tracing::info!(%step, "step");
    let _ = fault::point(Side::Target, step).await;
}
