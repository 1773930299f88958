//! Containers that write faster than their memory can be copied get less CPU time for a while (`spec.autoConverge`).
//!
//! The CPU that a container uses is measured once, before the first step, so that a step's percentage is of what it takes
//! when nothing slows it down. Nothing here runs on a thread of its own: an attempt that is dropped between the journal entry
//! and the write must not write later, when the undo has been and gone. A write takes 0.3 ms.
//!
//! Limits are put back right before the freeze, since tasks that wait for CPU time freeze late. Three busy processes, Linux
//! 6.18, cgroup v1, 15 freezes each, median (most) in ms: never limited 2 (24), limited to 20 ms in 100 ms 20 (168), to 1 ms
//! 299 (520); put back just before, 0.4 (5) from 20 ms and 0.4 (0.6) from 1 ms.

use std::time::Duration;

use godwit_container::cgroup::{CgroupError, Cpu, CpuLimit, CpuUse};
use tokio::time::{Instant, sleep};

use super::wish::MemoryWish;
use crate::{
    failure::{Failure, chain},
    journal::SourceEntry,
    node::Node,
    source::facts::SourcePod,
};

/// How long is watched what a container uses: several of the kernel's periods, which are 100 ms.
const WATCHED: Duration = Duration::from_millis(500);

/// The CPU time of a pod's containers.
pub(super) struct Throttle {
    containers: Vec<Container>,
    allowed: bool,
    percent: Option<u8>,
    rounds: usize,
}

struct Container {
    name: String,
    cpu: Cpu,
    /// Once it was throttled.
    before: Option<Before>,
}

/// How things were before the first step.
struct Before {
    limit: CpuLimit,
    usage: CpuUse,
    ours: Vec<CpuLimit>,
}

impl Throttle {
    /// Looks for the CPU controllers, if that is wished for. A pod with a container that has none cannot be throttled.
    pub(super) fn find(node: &Node, pod: &SourcePod, wish: &MemoryWish) -> Self {
        // Without a budget nobody ever needs it.
        let wished = wish.auto_converge && wish.budget.is_some();
        let containers = pod.containers.iter().filter(|_| wished).map(|container| {
            let cpu = Cpu::of_pid(&node.host, container.on_node.pid)?;
            Ok((container.name().to_owned(), cpu))
        });
        match containers.collect::<Result<Vec<_>, CgroupError>>() {
            Ok(containers) => Self::new(containers),
            Err(error) => {
                impossible(&error);
                Self::new(Vec::new())
            }
        }
    }

    fn new(containers: Vec<(String, Cpu)>) -> Self {
        let containers: Vec<_> = containers
            .into_iter()
            .map(|(name, cpu)| Container {
                name,
                cpu,
                before: None,
            })
            .collect();
        Self {
            allowed: !containers.is_empty(),
            containers,
            percent: None,
            rounds: 0,
        }
    }

    /// May the containers be throttled, and can they be?
    pub(super) fn allowed(&self) -> bool {
        self.allowed
    }

    /// Percent of its CPU to which each is throttled now.
    pub(super) fn percent(&self) -> Option<u8> {
        self.percent
    }

    /// How many rounds had passed when they were throttled last.
    pub(super) fn rounds(&self) -> usize {
        self.rounds
    }

    /// So many of the oldest rounds are not known any more.
    pub(super) fn forget(&mut self, rounds: usize) {
        self.rounds = self.rounds.saturating_sub(rounds);
    }

    /// Throttles every container to `percent` of what it used before the first time; `rounds` have passed. `announce` writes down
    /// what is about to be done. If it cannot be done for one, it is undone for all and not allowed any more; only an announcement
    /// that fails is an error.
    pub(super) async fn set(
        &mut self,
        percent: u8,
        rounds: usize,
        mut announce: impl FnMut(SourceEntry) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut ready = self.measure().await;
        if ready.is_ok() {
            for container in &mut self.containers {
                ready = container.cut(percent, &mut announce)?;
                if ready.is_err() {
                    break;
                }
            }
        }
        match ready {
            Ok(()) => {
                self.percent = Some(percent);
                self.rounds = rounds;
            }
            Err(error) => {
                impossible(&error);
                self.allowed = false;
                self.put_back();
            }
        }
        Ok(())
    }

    /// Gives every container the limit that it had. Where that fails the undo tries it again, should the source run on.
    pub(super) fn put_back(&mut self) {
        self.percent = None;
        for container in &self.containers {
            let Some(before) = &container.before else {
                continue;
            };
            if let Err(error) = container.cpu.put_back(before.limit, &before.ours) {
                let (container, error) = (&container.name, chain(&error));
                tracing::warn!(container, error, "the CPU limit could not be put back");
            }
        }
    }

    async fn measure(&mut self) -> Result<(), CgroupError> {
        if self.containers.iter().all(|container| container.before.is_some()) {
            return Ok(());
        }
        let look =
            |container: &Container| Ok((container.cpu.limit()?, container.cpu.used()?, Instant::now()));
        let first = self.containers.iter().map(look).collect::<Result<Vec<_>, _>>()?;
        sleep(WATCHED).await;
        for (container, (limit, used, since)) in self.containers.iter_mut().zip(first) {
            let usage = CpuUse {
                used: container.cpu.used()?.saturating_sub(used),
                over: since.elapsed(),
            };
            container.before = Some(Before {
                limit,
                usage,
                ours: Vec::new(),
            });
        }
        Ok(())
    }
}

impl Container {
    /// The outer error is of the announcement, the inner one of the group.
    fn cut(
        &mut self,
        percent: u8,
        announce: &mut impl FnMut(SourceEntry) -> Result<(), Failure>,
    ) -> Result<Result<(), CgroupError>, Failure> {
        let Some(before) = &mut self.before else {
            return Ok(Ok(()));
        };
        let limit = before.limit.cut(before.usage, percent);
        announce(SourceEntry::Throttled {
            container: self.name.clone(),
            cpu: self.cpu.clone(),
            former: before.limit,
            limit,
        })?;
        before.ours.push(limit);
        let container = &self.name;
        tracing::info!(container, percent, ?limit, usage = ?before.usage, former = ?before.limit, "the container is slowed down");
        Ok(self.cpu.set_limit(limit))
    }
}

fn impossible(error: &CgroupError) {
    let (reason, error) = (error.reason(), chain(error));
    tracing::warn!(
        reason,
        error,
        "the containers cannot be slowed down (spec.autoConverge)"
    );
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use godwit_container::cgroup::Version;
    use tempfile::TempDir;

    use super::*;
    use crate::journal::{Undo, undo_source};

    /// Two containers in groups of version 2; the second one has a limit. What they use has been measured.
    struct Pod {
        dir: TempDir,
        throttle: Throttle,
        entries: Vec<SourceEntry>,
    }

    const NAMES: [&str; 2] = ["app", "sidecar"];
    const LIMITS: [&str; 2] = ["max 100000", "150000 100000"];
    const HALF_A_CPU: CpuUse = CpuUse {
        used: Duration::from_secs(1),
        over: Duration::from_secs(2),
    };

    impl Pod {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let containers = NAMES.into_iter().zip(LIMITS).map(|(name, limit)| {
                let group = dir.path().join(name);
                fs::create_dir(&group).unwrap();
                fs::write(group.join("cpu.max"), limit).unwrap();
                fs::write(group.join("cpu.stat"), "usage_usec 1\n").unwrap();
                (name.to_owned(), Cpu::at(Version::V2, &group, &group))
            });
            let mut throttle = Throttle::new(containers.collect());
            for container in &mut throttle.containers {
                container.before = Some(Before {
                    limit: container.cpu.limit().unwrap(),
                    usage: HALF_A_CPU,
                    ours: Vec::new(),
                });
            }
            Self {
                dir,
                throttle,
                entries: Vec::new(),
            }
        }

        fn file(&self, name: &str) -> PathBuf {
            self.dir.path().join(name).join("cpu.max")
        }

        fn limits(&self) -> [String; 2] {
            NAMES.map(|name| fs::read_to_string(self.file(name)).unwrap())
        }

        async fn set(&mut self, percent: u8) {
            let Self {
                throttle, entries, ..
            } = self;
            let announce = |entry| {
                entries.push(entry);
                Ok(())
            };
            throttle.set(percent, 4, announce).await.unwrap();
        }
    }

    #[tokio::test]
    async fn each_step_is_a_part_of_what_was_used_before_the_first() {
        let mut pod = Pod::new();
        pod.set(80).await;
        assert_eq!(pod.limits(), ["40000 100000", "40000 100000"]);
        pod.set(20).await;
        assert_eq!(pod.limits(), ["10000 100000", "10000 100000"]);
        assert_eq!((pod.throttle.percent(), pod.throttle.rounds()), (Some(20), 4));
        pod.throttle.forget(9);
        assert_eq!(pod.throttle.rounds(), 0);
        pod.throttle.put_back();
        assert_eq!(pod.limits(), LIMITS);
        assert_eq!(pod.throttle.percent(), None);
        assert!(pod.throttle.allowed());
    }

    #[tokio::test]
    async fn every_change_is_announced_first_and_undone_from_the_announcements_alone() {
        let mut pod = Pod::new();
        let files = NAMES.map(|name| pod.file(name));
        for percent in [80, 60] {
            let set = pod.throttle.set(percent, 3, |entry| {
                let SourceEntry::Throttled { container, limit, .. } = &entry else {
                    panic!("{entry:?}");
                };
                let at = NAMES.iter().position(|name| name == container).unwrap();
                let quota = limit.quota_us.unwrap().to_string();
                let is = fs::read_to_string(&files[at]).unwrap();
                // Idle containers get the same least quota at each step.
                assert!(
                    percent != 80 || !is.starts_with(&quota),
                    "{container} has {is} before"
                );
                pod.entries.push(entry);
                Ok(())
            });
            set.await.unwrap();
        }
        assert_ne!(pod.limits(), LIMITS);
        for undo in undo_source(&pod.entries) {
            let Undo::Unthrottle {
                cpu, former, ours, ..
            } = undo
            else {
                panic!("{undo:?}");
            };
            assert!(cpu.put_back(former, &ours).unwrap());
        }
        assert_eq!(pod.limits(), LIMITS);
    }

    #[tokio::test]
    async fn what_cannot_be_announced_is_not_done() {
        let mut pod = Pod::new();
        let failure = Failure::new("CopyMemory", "JournalUnusable", "full");
        let set = pod.throttle.set(80, 3, |_| Err(failure.clone())).await;
        assert_eq!(set, Err(failure));
        assert_eq!(pod.limits(), LIMITS);
    }

    #[tokio::test]
    async fn if_one_cannot_be_throttled_none_is_and_it_is_not_tried_again() {
        let mut pod = Pod::new();
        pod.set(80).await;
        fs::remove_file(pod.file("sidecar")).unwrap();
        fs::create_dir(pod.file("sidecar")).unwrap();
        pod.set(60).await;
        assert_eq!(fs::read_to_string(pod.file("app")).unwrap(), LIMITS[0]);
        assert_eq!((pod.throttle.allowed(), pod.throttle.percent()), (false, None));
    }

    #[tokio::test]
    async fn a_group_that_cannot_be_read_leaves_all_alone() {
        let mut pod = Pod::new();
        for container in &mut pod.throttle.containers {
            container.before = None;
        }
        fs::remove_file(pod.dir.path().join("sidecar/cpu.stat")).unwrap();
        pod.throttle
            .set(80, 3, |entry| panic!("announced {entry:?}"))
            .await
            .unwrap();
        assert_eq!(pod.limits(), LIMITS);
        assert!(!pod.throttle.allowed());
    }

    #[tokio::test]
    async fn what_is_used_is_measured_before_the_first_step_and_never_again() {
        let mut pod = Pod::new();
        for container in &mut pod.throttle.containers {
            container.before = None;
        }
        // Idle ones, as the file never changes: they are left the least that the kernel knows.
        pod.set(80).await;
        assert_eq!(pod.limits(), ["1000 100000", "1000 100000"]);
        for name in NAMES {
            fs::remove_file(pod.dir.path().join(name).join("cpu.stat")).unwrap();
        }
        pod.set(60).await;
        assert_eq!(pod.throttle.percent(), Some(60));
        pod.throttle.put_back();
        assert_eq!(pod.limits(), LIMITS);
    }

    #[test]
    fn without_containers_nothing_is_allowed() {
        assert!(!Throttle::new(Vec::new()).allowed());
    }
}
