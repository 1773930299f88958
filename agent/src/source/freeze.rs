//! The freeze, the only part that the workload notices. Order matters: pause, then hold, then dump; a reply written between the hold and the
//! pause would be dumped as sent and wait for a retransmission.

use std::{iter, mem, time::Duration};

use futures::future::{try_join_all, try_join4};
use godwit_container::cgroup::Freezer;
use godwit_crds::FreezeTimings;
use godwit_crds::checks::source::FREEZE_BUDGET_EXCEEDED;
use godwit_network::hold::PreparedHold;
use godwit_transfer::{ContainerName, Empty, Event, Message, ObjectSpec, Pass};
use tokio::{
    task,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    attempt::Attempt,
    dump::{Waiting, dump},
    facts::SourcePod,
    flags::Noted,
    memory::Memory,
    shared,
    stop::stop,
    stream::send_stream,
};
use crate::{
    failure::{AtStep, Failure},
    fault::{self, Side},
    files,
    haste::Haste,
    journal::SourceEntry,
    peer::{Receiver, Sender},
    step::SourceStep,
    talk::peers_failure,
};

/// How long processes may take to accept the connections that have come before the freeze. Clients that come meanwhile wait as long.
const ACCEPTED_WITHIN: Duration = Duration::from_millis(50);

/// When what happened in a freeze.
#[derive(Clone, Copy, Debug)]
pub(super) struct Freeze {
    began: Instant,
    paused: Instant,
    dumped: Instant,
    sent: Instant,
    prepared: Instant,
    /// The part that is due to the size of memory that was copied ahead; `None` if all of it was copied in the freeze.
    by_size: Option<Duration>,
    /// Bytes that memory has taken on the wire before.
    sent_ahead: u64,
}

impl Freeze {
    /// The parts, once the target has said at `running` that it runs.
    pub(super) fn timings(&self, running: Instant) -> FreezeTimings {
        let between = |from: Instant, to: Instant| text(to.saturating_duration_since(from));
        FreezeTimings {
            pause: between(self.began, self.paused),
            dump: between(self.paused, self.dumped),
            send: between(self.dumped, self.sent),
            restore: between(self.sent, self.prepared),
            commit: between(self.prepared, running),
            total: between(self.began, running),
        }
    }
}

impl Freeze {
    /// What it would have been for a pod without memory, if that can be told.
    pub(super) fn fixed(&self, running: Instant) -> Option<Duration> {
        Some(self.length(running).saturating_sub(self.by_size?))
    }

    /// Bytes that memory has taken on the wire before it.
    pub(super) fn sent_ahead(&self) -> u64 {
        self.sent_ahead
    }

    /// Fails if it has become longer than that: asked right before the commit, after which there is no way back.
    pub(super) fn within(&self, budget: Option<Duration>) -> Result<(), Failure> {
        match budget {
            Some(budget) if self.began.elapsed() > budget => Err(overrun(SourceStep::Commit, budget)),
            _ => Ok(()),
        }
    }

    /// The whole of it.
    pub(super) fn length(&self, running: Instant) -> Duration {
        running.saturating_duration_since(self.began)
    }
}

/// The freeze has become longer than it may.
fn overrun(step: SourceStep, budget: Duration) -> Failure {
    Failure::new(
        step,
        FREEZE_BUDGET_EXCEEDED.name,
        format!(
            "the freeze was not over after {} ms, which spec.freezeBudget allows, so the pod runs on where it was; raise it, or move at a quieter time",
            budget.as_millis()
        ),
    )
}

/// A duration as Kubernetes writes it, to the tenth of a millisecond.
fn text(duration: Duration) -> String {
    let tenths = (duration.as_micros() + 50) / 100;
    format!("{}.{}ms", tenths / 10, tenths % 10)
}

impl Attempt {
    /// From here on new connections wait, and those that have come are accepted: CRIU dumps no socket with others.
    async fn shut_the_door(&mut self) -> Result<(), Failure> {
        let step = SourceStep::Freeze;
        if let Some(prepared) = &mut self.prepared_hold {
            prepared.shut().at(step)?;
            if !prepared.backlog().emptied(ACCEPTED_WITHIN).await.at(step)? {
                tracing::info!("a process does not accept the connections that it has");
            }
        }
        Ok(())
    }

    /// From the last instruction of the source to *prepared*.
    pub(super) async fn freeze(
        &mut self,
        pod: &SourcePod,
        calls: &[Waiting],
        bases: Vec<files::Base>,
    ) -> Result<Freeze, Failure> {
        self.send_logs(SourceStep::Freeze).await?;
        self.enter(SourceStep::Freeze).await?;
        let bystanders = self.bystanders(pod).await?;
        self.journal
            .append(SourceEntry::Freezing)
            .at(SourceStep::Freeze)?;
        let freezers: Vec<_> = pod
            .containers
            .iter()
            .map(|container| container.freezer.clone())
            .chain(bystanders)
            .collect();
        if let Some(memory) = &mut self.memory {
            // The last moment at which it serves: what runs on after a rollback has the limits that it had, and tasks that wait for
            // CPU time freeze late.
            memory.unthrottle();
        }
        let noted = match &self.memory {
            Some(_) => Noted::of(&self.node.host, pod).await,
            None => Noted::default(),
        };
        self.shut_the_door().await?;
        self.haste = Some(Haste::begin());
        let budget = self.wish.budget;
        let until = budget.map(|budget| Instant::now() + budget);
        let frozen = self.frozen(pod, calls, bases, freezers, noted);
        match (budget, until) {
            (Some(budget), Some(until)) => timeout_at(until, frozen)
                .await
                .unwrap_or_else(|_| Err(overrun(self.progress.step(), budget))),
            _ => frozen.await,
        }
    }

    /// From the freeze to *prepared*. Whoever drops it, because it takes too long, has to undo as after an error.
    async fn frozen(
        &mut self,
        pod: &SourcePod,
        calls: &[Waiting],
        bases: Vec<files::Base>,
        freezers: Vec<Freezer>,
        noted: Noted,
    ) -> Result<Freeze, Failure> {
        let (host, moved) = (self.node.host.clone(), pod.containers.len());
        let backlog = self.prepared_hold.as_ref().map(PreparedHold::backlog);
        let began = task::spawn_blocking(move || stop(&host, &freezers, moved, backlog.as_ref()))
            .await
            .map_err(|error| Failure::from_error(SourceStep::Freeze, "Internal", &error))?
            .at(SourceStep::Freeze)?;
        self.enter(SourceStep::Hold).await?;
        if let Some(prepared) = self.prepared_hold.take() {
            self.hold = Some(prepared.activate().at(SourceStep::Hold)?);
        }
        let paused = Instant::now();
        let mut last = Vec::new();
        let by_size = self.memory.as_ref().map(Memory::by_size);
        let sent_ahead = self.memory.as_ref().map_or(0, Memory::sent);
        if let Some(mut memory) = self.memory.take() {
            self.enter(SourceStep::FinalPages).await?;
            let pages = memory.last_look().await?;
            tracing::info!(pages, "left for the freeze");
            self.status.say(|report| report.memory = Some(memory.report()));
            last = memory.last_rounds();
        }
        shared::settle(&self.node.host, pod).await?;
        self.enter(SourceStep::Dump).await?;
        let (progress, deadline) = (self.progress.clone(), self.deadline);
        let hold = self.hold.as_ref();
        let (host, mut logs) = (&self.node.host, mem::take(&mut self.logs));
        let Some((sender, receiver)) = self.link.as_mut() else {
            return Err(Failure::new(
                SourceStep::Dump,
                "NotConnected",
                "the connection to the target's agent is gone",
            ));
        };
        let sender = &*sender;
        sender
            .send(Message::Frozen(Empty {}))
            .await
            .at(SourceStep::Dump)?;
        let silence = async {
            // What outlives this process: after the commit the dead network namespace must stay silent.
            match hold {
                Some(hold) => hold.persist_output_drop().await.at(SourceStep::Hold),
                None => Ok(()),
            }
        };
        let dumping = async {
            let last = last.into_iter().map(Some).chain(iter::repeat_with(|| None));
            let dumps = pod
                .containers
                .iter()
                .zip(calls)
                .zip(last)
                .map(|((container, call), last)| dump(sender, container, call, last));
            let dumped = try_join_all(dumps).await?;
            let sent = Instant::now();
            // While the target restores.
            noted.confirm().await?;
            logs.send_frozen(host, sender).await;
            let over = dumped.iter().map(|dumped| dumped.over).max().unwrap_or(paused);
            let tracked: Vec<_> = dumped.into_iter().filter_map(|dumped| dumped.tracked).collect();
            Ok((over, sent, tracked))
        };
        let changes = copy_changes(sender, pod, bases);
        let prepared = await_prepared(receiver, deadline);
        let ((), (dumped, sent, tracked), (), prepared) =
            try_join4(silence, dumping, changes, prepared).await?;
        self.tracked = tracked;
        self.logs = logs;
        progress.enter(SourceStep::AwaitPrepared).await?;
        Ok(Freeze {
            began,
            paused,
            dumped,
            sent,
            prepared,
            by_size,
            sent_ahead,
        })
    }
}

/// Sends what has changed in each tree, then says so for each container.
async fn copy_changes(sender: &Sender, pod: &SourcePod, bases: Vec<files::Base>) -> Result<(), Failure> {
    let step = SourceStep::CopyChanges;
    // Beside the dump, so it is not the step that the progress shows; a test can break it all the same.
    fault::point(Side::Source, step).await?;
    for base in bases {
        let spec = ObjectSpec::new(base.kind(Pass::Delta));
        send_stream(sender, spec, move |writer| files::write_changes(&base, writer))
            .await
            .at(step)?;
    }
    for container in &pod.containers {
        sender
            .send(Message::FilesComplete(ContainerName::new(container.name())))
            .await
            .at(step)?;
    }
    Ok(())
}

/// Waits until the target holds everything restored; gives when it said so.
async fn await_prepared(receiver: &mut Receiver, deadline: Instant) -> Result<Instant, Failure> {
    let step = SourceStep::AwaitPrepared;
    loop {
        let event = tokio::select! {
            event = receiver.recv() => event.at(step)?,
            () = sleep_until(deadline) => {
                return Err(Failure::new(step, "TimedOut", "spec.timeout passed while the target was restoring"));
            }
        };
        if let Event::Message(message) = event {
            if let Some(failure) = peers_failure(step, &message) {
                return Err(failure);
            }
            if matches!(message, Message::Prepared(_)) {
                return Ok(Instant::now());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_that_is_over_its_budget_is_not_committed() {
        let began = Instant::now();
        let freeze = Freeze {
            began,
            paused: began,
            dumped: began,
            sent: began,
            prepared: began,
            by_size: None,
            sent_ahead: 0,
        };
        assert!(freeze.within(None).is_ok() && freeze.within(Some(Duration::from_hours(1))).is_ok());
        let failure = freeze.within(Some(Duration::ZERO)).unwrap_err();
        assert_eq!(failure.reason, "FreezeBudgetExceeded");
        assert!(
            failure.message.contains("spec.freezeBudget"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn durations_are_tenths_of_milliseconds() {
        assert_eq!(text(Duration::from_micros(183_449)), "183.4ms");
        assert_eq!(text(Duration::from_micros(50)), "0.1ms");
        assert_eq!(text(Duration::from_secs(2)), "2000.0ms");
    }
}
