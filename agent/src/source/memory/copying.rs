//! Rounds while the pod runs, until it may be frozen.

use std::{sync::Arc, time::Duration};

use godwit_crds::checks::source::FREEZE_BUDGET_EXCEEDED;
use godwit_crds::{MemoryMode, SourceMemory};
use godwit_memory::{
    range::PAGE,
    rounds::{Costs, Estimate, Next, Passed, Situation, decide},
    track::{self, Method},
};
use tokio::{
    sync::watch,
    task,
    time::{Instant, sleep},
};

use super::{
    container::{ContainerMemory, MemoryError},
    lanes::{Dial, Lanes, Plan},
    pump::{Caps, Sent},
    report::{self, Progress},
    throttle::Throttle,
    wish::MemoryWish,
};
use crate::{
    failure::{AtStep, Failure},
    journal::{Journal, SourceEntry},
    node::Node,
    source::{facts::SourcePod, status::SourceStatus},
    step::SourceStep,
};

/// Rounds that are looked back at while something else is waited for: no more can be learnt from older ones.
const LOOKED_BACK: usize = 8;
/// Bytes a second that are assumed of the link before anything has been sent: a slow network of a cluster, 1 Gbit/s.
const ASSUMED_BANDWIDTH: u64 = 125_000_000;
/// What each GiB of memory costs in the freeze although it has been copied: CRIU's walk through it, see docs/memory.md.
const PER_GIB: Duration = Duration::from_millis(70);

/// The memory of the pod on its way.
pub(in crate::source) struct Memory {
    pub(super) containers: Vec<ContainerMemory>,
    /// While the pod runs.
    lanes: Option<Lanes>,
    /// Number of the last round that was begun.
    pub(super) number: u32,
    wish: MemoryWish,
    caps: Caps,
    history: Vec<Passed>,
    /// Bytes on the wire, of all rounds.
    sent: u64,
    costs: Costs,
    progress: Progress,
    throttle: Throttle,
    last_end: Instant,
    /// The first round.
    whole: Option<Passed>,
}

/// How the memory of a pod will be moved.
pub(in crate::source) enum Choice {
    /// Ahead of the freeze.
    PreCopy(Box<Memory>),
    /// In it; with what the status says.
    StopAndCopy(SourceMemory),
}

impl Memory {
    /// Begins to track the pod's memory, if that is wished for and possible.
    pub(in crate::source) async fn begin(
        node: &Node,
        pod: &SourcePod,
        wish: MemoryWish,
    ) -> Result<Choice, Failure> {
        let step = SourceStep::TrackMemory;
        if wish.mode == MemoryMode::StopAndCopy {
            return Ok(Choice::StopAndCopy(report::stop_and_copy(None, None)));
        }
        let freezers: Vec<_> = pod
            .containers
            .iter()
            .map(|container| (container.name().to_owned(), container.freezer.clone()))
            .collect();
        let attached = task::spawn_blocking(move || {
            let method = track::probe();
            if method == Method::None {
                return (method, Ok(Vec::new()));
            }
            let attached = freezers
                .into_iter()
                .map(|(name, freezer)| ContainerMemory::attach(name, freezer, method));
            (method, attached.collect::<Result<Vec<_>, MemoryError>>())
        });
        let (method, attached) = attached
            .await
            .map_err(|error| Failure::from_error(step, "Internal", &error))?;
        let why = match attached {
            Ok(containers) if method != Method::None => {
                let throttle = Throttle::find(node, pod, &wish);
                let memory = Self::new(node, wish, containers, method, throttle);
                return Ok(Choice::PreCopy(Box::new(memory)));
            }
            Ok(_) => {
                "this node's kernel can track writes neither by userfaultfd nor by soft-dirty bits".to_owned()
            }
            Err(error) => crate::failure::chain(&error),
        };
        if wish.mode == MemoryMode::PreCopy {
            return Err(Failure::new(
                step,
                "PreCopyUnavailable",
                format!("{why}; set spec.memory to Auto or StopAndCopy to move the pod with a longer freeze"),
            ));
        }
        tracing::info!(why, "memory is copied in the freeze");
        Ok(Choice::StopAndCopy(report::stop_and_copy(
            Some(method),
            Some(why),
        )))
    }

    fn new(
        node: &Node,
        wish: MemoryWish,
        containers: Vec<ContainerMemory>,
        method: Method,
        throttle: Throttle,
    ) -> Self {
        let pages: u64 = containers.iter().map(ContainerMemory::found_pages).sum();
        Self {
            containers,
            lanes: None,
            number: 0,
            caps: Caps::new(wish.bandwidth, node.bandwidth.clone(), node.started),
            wish,
            history: Vec::new(),
            sent: 0,
            costs: Costs {
                fixed: node.freeze_cost.get(),
                per_gib: PER_GIB,
                memory: pages * PAGE,
                assumed_bandwidth: ASSUMED_BANDWIDTH,
            },
            progress: Progress::new(method),
            throttle,
            last_end: Instant::now(),
            whole: None,
        }
    }

    /// How many bytes of memory the first round has copied, which is all of it, and how long it took; `None` before its end, and where the
    /// migration is not to use all of the link.
    pub(in crate::source) fn first_round(&self) -> Option<(u64, Duration)> {
        let whole = self.whole.filter(|_| self.wish.bandwidth.is_none())?;
        Some((whole.pages * PAGE, whole.took))
    }

    /// Opens the lanes over which the rounds travel.
    pub(in crate::source) fn open_lanes(&mut self, dial: Dial) {
        self.lanes = Some(Lanes::for_memory(dial, self.costs.memory));
    }

    /// No more rounds: ends the lanes. Before the freeze, which is no time to close connections and give memory back.
    pub(in crate::source) fn end_lanes(&mut self) {
        if let Some(learnt) = self.lanes.take().and_then(Lanes::end) {
            for container in &mut self.containers {
                container.learn(learnt.clone());
            }
        }
    }

    /// Rounds until the pod is ready to be frozen and `parked` is true. Fails if it cannot be frozen within the budget. Containers that
    /// are throttled for it stay so, until [`Self::unthrottle`] or the undo of the journal.
    pub(in crate::source) async fn copy(
        &mut self,
        journal: &mut Journal<SourceEntry>,
        status: &mut SourceStatus,
        deadline: Instant,
        mut parked: watch::Receiver<bool>,
    ) -> Result<(), Failure> {
        let step = SourceStep::CopyMemory;
        loop {
            let may_freeze = *parked.borrow_and_update();
            match self.decide(deadline, may_freeze) {
                Next::Freeze => return Ok(()),
                Next::Refuse(error) => return Err(self.refusal(step, &error)),
                Next::Throttle { percent } => {
                    let announce = |entry| journal.append(entry).at(step);
                    self.throttle.set(percent, self.history.len(), announce).await?;
                    self.progress.throttled(self.throttle.percent());
                    say(status, self.progress.if_due());
                    if !self.throttle.allowed() {
                        continue;
                    }
                }
                Next::Round {
                    pause: Duration::ZERO,
                } => {}
                Next::Round { pause } => {
                    tokio::select! {
                        () = sleep(pause) => {}
                        // An error means that nothing will change any more: the rest of the pause is not worth a branch.
                        _ = parked.changed() => {}
                    }
                }
            }
            self.round(status).await?;
            if !may_freeze {
                let surplus = self.history.len().saturating_sub(LOOKED_BACK);
                self.history.drain(..surplus);
                self.throttle.forget(surplus);
            }
        }
    }

    fn decide(&self, deadline: Instant, may_freeze: bool) -> Next {
        let situation = Situation {
            history: &self.history,
            waiting: None,
            costs: self.costs,
            budget: self.wish.budget,
            mode: self.wish.rounds_mode(),
            auto_converge: self.throttle.allowed() && self.could_fit(),
            throttle: self.throttle.percent(),
            throttled_at: self.throttle.rounds(),
            time_left: Some(deadline.saturating_duration_since(Instant::now())),
            may_freeze,
        };
        let (next, estimate) = decide(&situation);
        tracing::debug!(?next, ?estimate, "after {} rounds", self.history.len());
        next
    }

    /// What a freeze would take with nothing left to send.
    fn least_freeze(&self) -> Duration {
        Estimate::of(&self.history, Some(0), &self.costs).freeze
    }

    /// Whether the budget could be kept if only less was written; else nobody is slowed down for it.
    fn could_fit(&self) -> bool {
        self.wish
            .budget
            .is_none_or(|budget| self.least_freeze() <= budget)
    }

    fn refusal(&self, step: SourceStep, error: &godwit_memory::rounds::DirtyRateTooHigh) -> Failure {
        let nothing_left = self.least_freeze();
        match self.wish.budget {
            Some(budget) if nothing_left > budget => budget_too_small(step, nothing_left, budget),
            _ => Failure::from_error(step, error.reason(), error),
        }
    }

    async fn round(&mut self, status: &mut SourceStatus) -> Result<(), Failure> {
        let step = SourceStep::CopyMemory;
        let began = Instant::now();
        let pause = began.saturating_duration_since(self.last_end);
        self.number += 1;
        let plan = Arc::new(self.plan().await?);
        let pages = plan.pages();
        let sent = Sent::default();
        let Some(lanes) = &mut self.lanes else {
            return Err(Failure::new(step, "Internal", "there is no lane for memory"));
        };
        self.progress.begin(self.number, pages);
        let round = lanes.round(plan.clone(), &self.caps, &sent);
        tokio::pin!(round);
        loop {
            tokio::select! {
                done = &mut round => break done?,
                () = sleep(report::EVERY) => {
                    self.progress.sent(&sent);
                    say(status, self.progress.if_due());
                }
            }
        }
        // Its threads have ended.
        let plan = Arc::into_inner(plan).ok_or(MemoryError::Thread).at(step)?;
        for (container, kept) in self.containers.iter_mut().zip(plan.finish()) {
            container.kept(kept);
        }
        let took = began.elapsed();
        let passed = Passed {
            pages,
            bytes: sent.bytes(),
            pause: if self.history.is_empty() {
                Duration::ZERO
            } else {
                pause
            },
            took,
        };
        self.whole.get_or_insert(passed);
        self.history.push(passed);
        self.sent += passed.bytes;
        self.last_end = Instant::now();
        let estimate = Estimate::of(&self.history, None, &self.costs);
        self.progress.begin(self.number, pages);
        self.progress.passed(&passed, &estimate);
        tracing::info!(round = self.number, pages, bytes = passed.bytes, ?took, freeze = ?estimate.freeze, "memory copied");
        say(status, self.progress.if_due());
        Ok(())
    }

    /// What is to be sent in the next round.
    async fn plan(&mut self) -> Result<Plan, Failure> {
        let step = SourceStep::CopyMemory;
        let mut containers = std::mem::take(&mut self.containers);
        let number = self.number;
        let looking = task::spawn_blocking(move || {
            let look = |container: &mut ContainerMemory| {
                let (round, kept) = container.take()?;
                Ok::<_, MemoryError>((container.name.clone(), round, kept))
            };
            let looked = containers.iter_mut().map(look).collect::<Result<Vec<_>, _>>();
            (containers, looked.map(|parts| Plan::new(number, parts)))
        });
        let (containers, plan) = looking.await.map_err(|_| MemoryError::Thread).at(step)?;
        self.containers = containers;
        plan.at(step)
    }

    /// Gives the containers their CPU time back, at once.
    pub(in crate::source) fn unthrottle(&mut self) {
        self.throttle.put_back();
        self.progress.throttled(None);
    }

    /// The part of the freeze that is due to the size of the memory, which was copied ahead.
    pub(in crate::source) fn by_size(&self) -> Duration {
        // Nothing left to be sent, and no fixed part.
        let costs = Costs {
            fixed: Duration::ZERO,
            ..self.costs
        };
        Estimate::of(&self.history, Some(0), &costs).freeze
    }

    /// Bytes that the rounds have taken on the wire.
    pub(in crate::source) fn sent(&self) -> u64 {
        self.sent
    }

    /// What the status says at the end.
    pub(in crate::source) fn report(&self) -> SourceMemory {
        self.progress.now()
    }
}

/// Whether a pod whose memory is not copied ahead may be frozen: as far as can be told from its size.
pub(in crate::source) fn budget_of_stop_and_copy(
    node: &Node,
    pod: &SourcePod,
    wish: &MemoryWish,
) -> Result<(), Failure> {
    let Some(budget) = wish.budget else { return Ok(()) };
    let step = SourceStep::TrackMemory;
    let memory = pod
        .containers
        .iter()
        .map(|container| super::size::resident(&node.host, &container.freezer))
        .sum();
    let freeze = shortest_freeze(node, memory, false);
    if freeze > budget {
        return Err(budget_too_small(step, freeze, budget));
    }
    Ok(())
}

/// How long a freeze of a pod with so many bytes of memory takes at least on this node, as far as can be told before it: with nothing left to
/// be sent where memory is copied `ahead`, else with all of it.
pub(crate) fn shortest_freeze(node: &Node, memory: u64, ahead: bool) -> Duration {
    let costs = Costs {
        fixed: node.freeze_cost.get(),
        per_gib: PER_GIB,
        memory,
        assumed_bandwidth: ASSUMED_BANDWIDTH,
    };
    Estimate::of(&[], ahead.then_some(0), &costs).freeze
}

fn budget_too_small(step: SourceStep, freeze: Duration, budget: Duration) -> Failure {
    Failure::new(
        step,
        FREEZE_BUDGET_EXCEEDED.name,
        format!(
            "the freeze would take about {} ms, whatever is copied ahead; spec.freezeBudget is {} ms: raise it",
            freeze.as_millis(),
            budget.as_millis()
        ),
    )
}

fn say(status: &mut SourceStatus, memory: Option<SourceMemory>) {
    if let Some(memory) = memory {
        status.say(|report| report.memory = Some(memory));
    }
}
