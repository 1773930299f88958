//! What the source writes down, and what follows from it after a crash or a failure. Pure.

use std::path::PathBuf;

use godwit_container::cgroup::{Cpu, CpuLimit, Freezer};
use serde::{Deserialize, Serialize};

/// One line of a source's journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum SourceEntry {
    /// The migration was taken on; nothing has been touched.
    Begun {
        /// Namespace of the `PodMigration`.
        namespace: String,
        /// Name of the `PodMigration`.
        name: String,
        /// UID of the pod to be moved.
        source_pod_uid: String,
        /// Node that takes the pod; only its agent may ask for the verdict.
        target_node: String,
        /// Where that node's agent listens.
        target_address: String,
    },
    /// Rules that hold packets are about to be put into this network namespace.
    HoldPrepared {
        /// The network namespace, as a path on the node.
        netns: PathBuf,
    },
    /// A container is about to get less CPU time, perhaps not for the first time.
    Throttled {
        /// Container name.
        container: String,
        /// What limits it.
        cpu: Cpu,
        /// The limit before any of ours.
        former: CpuLimit,
        /// The limit that it is about to get.
        limit: CpuLimit,
    },
    /// `runc checkpoint` is about to be started for this container and will wait at its gate.
    CheckpointPrepared {
        /// Container name.
        container: String,
        /// What freezes the container.
        freezer: Freezer,
        /// Directory of the runtime call.
        call: PathBuf,
        /// Directory of the gate.
        gate: PathBuf,
    },
    /// This container, which is not moved, is about to be frozen with the others.
    Bystander {
        /// Container name.
        container: String,
        /// What freezes it.
        freezer: Freezer,
    },
    /// The containers are about to be frozen.
    Freezing,
    /// The decision: the source never runs again.
    Committed {
        /// Addresses that the target is asked to carry.
        addresses: Vec<String>,
    },
    /// The target runs, the address is carried.
    Released {
        /// Addresses that are now carried to the target.
        carried: Vec<String>,
    },
    /// Everything before this line has been undone.
    RolledBack {
        /// Reason, for the report that may not have been sent yet.
        reason: String,
        /// Message, likewise.
        message: String,
    },
}

/// One thing to undo, in the order of [`undo_source`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    /// Give a container its CPU time back.
    Unthrottle {
        /// Container name.
        container: String,
        /// What limits it.
        cpu: Cpu,
        /// The limit that it had.
        former: CpuLimit,
        /// Those that it may have now, if nobody else has set one.
        ours: Vec<CpuLimit>,
    },
    /// End a runtime call: open its gate with `abort` if CRIU was never let through, else freeze first and then kill.
    EndCheckpoint {
        /// Container name.
        container: String,
        /// What freezes the container.
        freezer: Freezer,
        /// Directory of the runtime call.
        call: PathBuf,
        /// Directory of the gate.
        gate: PathBuf,
        /// True when the container may be frozen: CRIU may then be at work in it.
        frozen: bool,
    },
    /// Let held packets go to the pod and take the rules out.
    Unhold {
        /// The network namespace, as a path on the node.
        netns: PathBuf,
    },
    /// Thaw a container.
    Thaw {
        /// What freezes it.
        freezer: Freezer,
    },
}

/// What to undo, in that order: CRIU must be out of the tasks before the network opens, and the network must be open
/// before the tasks run, so that nothing they write is lost. CPU time comes first: it takes no time, and whatever has to
/// wait for the tasks then waits less.
///
/// Never called with a committed journal; gives nothing for one.
pub fn undo_source(entries: &[SourceEntry]) -> Vec<Undo> {
    if entries.iter().any(|entry| {
        matches!(
            entry,
            SourceEntry::Committed { .. } | SourceEntry::RolledBack { .. }
        )
    }) {
        return Vec::new();
    }
    let frozen = entries.contains(&SourceEntry::Freezing);
    let mut undo = unthrottle(entries);
    let mut thaw = Vec::new();
    for entry in entries {
        if let SourceEntry::CheckpointPrepared {
            container,
            freezer,
            call,
            gate,
        } = entry
        {
            undo.push(Undo::EndCheckpoint {
                container: container.clone(),
                freezer: freezer.clone(),
                call: call.clone(),
                gate: gate.clone(),
                frozen,
            });
            if frozen {
                thaw.push(Undo::Thaw {
                    freezer: freezer.clone(),
                });
            }
        }
    }
    let bystanders = entries.iter().filter_map(|entry| match entry {
        SourceEntry::Bystander { freezer, .. } if frozen => Some(Undo::Thaw {
            freezer: freezer.clone(),
        }),
        _ => None,
    });
    thaw.extend(bystanders);
    undo.extend(entries.iter().filter_map(|entry| match entry {
        SourceEntry::HoldPrepared { netns } => Some(Undo::Unhold { netns: netns.clone() }),
        _ => None,
    }));
    undo.append(&mut thaw);
    undo
}

/// One for each container that was ever throttled.
fn unthrottle(entries: &[SourceEntry]) -> Vec<Undo> {
    let mut found: Vec<Undo> = Vec::new();
    for entry in entries {
        let SourceEntry::Throttled {
            container,
            cpu,
            former,
            limit,
        } = entry
        else {
            continue;
        };
        let known = found.iter_mut().find_map(|undo| match undo {
            Undo::Unthrottle { cpu: of, ours, .. } if of == cpu => Some(ours),
            _ => None,
        });
        match known {
            Some(ours) => ours.push(*limit),
            None => found.push(Undo::Unthrottle {
                container: container.clone(),
                cpu: cpu.clone(),
                former: *former,
                ours: vec![*limit],
            }),
        }
    }
    found
}

/// Where a restarted agent takes a migration up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceResume {
    /// Not even begun: forget the journal.
    Nothing,
    /// Undo, then report the rollback.
    RollBack,
    /// Undone before the crash; only the report may be missing.
    ReportRollback {
        /// Reason to report.
        reason: String,
        /// Message to report.
        message: String,
    },
    /// The target is, or will be, the workload: keep the source frozen and silent, and wait for the target.
    AwaitRunning,
    /// Wait until the source pod is gone.
    AwaitRemoval,
}

/// Decides from the journal alone.
pub fn resume_source(entries: &[SourceEntry]) -> SourceResume {
    match entries.last() {
        None => SourceResume::Nothing,
        Some(SourceEntry::RolledBack { reason, message }) => SourceResume::ReportRollback {
            reason: reason.clone(),
            message: message.clone(),
        },
        Some(SourceEntry::Released { .. }) => SourceResume::AwaitRemoval,
        Some(SourceEntry::Committed { .. }) => SourceResume::AwaitRunning,
        Some(_) => SourceResume::RollBack,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use godwit_container::cgroup::Version;

    use super::*;

    fn cpu(container: &str) -> Cpu {
        Cpu::at(Version::V1, Path::new(container), Path::new(container))
    }

    fn limit(quota_us: Option<u64>) -> CpuLimit {
        CpuLimit {
            quota_us,
            period_us: 100_000,
        }
    }

    /// `app` had no limit, `sidecar` had one.
    fn former(container: &str) -> CpuLimit {
        limit((container == "sidecar").then_some(70_000))
    }

    fn whole_run() -> Vec<SourceEntry> {
        let throttled = |container: &str, quota| SourceEntry::Throttled {
            container: container.to_owned(),
            cpu: cpu(container),
            former: former(container),
            limit: limit(Some(quota)),
        };
        let checkpoint = |container: &str| SourceEntry::CheckpointPrepared {
            container: container.to_owned(),
            freezer: Freezer::at(Version::V1, Path::new("freezer")),
            call: PathBuf::from("call"),
            gate: PathBuf::from("gate"),
        };
        vec![
            SourceEntry::Begun {
                namespace: "shop".to_owned(),
                name: "move".to_owned(),
                source_pod_uid: "uid".to_owned(),
                target_node: "n2".to_owned(),
                target_address: "192.0.2.2".to_owned(),
            },
            SourceEntry::HoldPrepared {
                netns: PathBuf::from("netns"),
            },
            throttled("app", 40_000),
            throttled("sidecar", 20_000),
            throttled("app", 30_000),
            throttled("sidecar", 10_000),
            checkpoint("app"),
            checkpoint("sidecar"),
            SourceEntry::Bystander {
                container: "debugger".to_owned(),
                freezer: Freezer::at(Version::V1, Path::new("freezer")),
            },
            SourceEntry::Freezing,
            SourceEntry::Committed { addresses: vec![] },
            SourceEntry::Released { carried: vec![] },
        ]
    }

    fn up_to(last: &SourceEntry) -> Vec<SourceEntry> {
        let mut run = whole_run();
        let end = run.iter().position(|entry| entry == last).unwrap();
        run.truncate(end + 1);
        run
    }

    #[test]
    fn before_the_commit_every_crash_rolls_back_and_after_it_none_does() {
        let run = whole_run();
        for end in 1..=run.len() {
            let entries = &run[..end];
            let committed = entries
                .iter()
                .any(|entry| matches!(entry, SourceEntry::Committed { .. }));
            assert_eq!(
                resume_source(entries) == SourceResume::RollBack,
                !committed,
                "{entries:?}"
            );
            if committed {
                assert!(
                    undo_source(entries).is_empty(),
                    "a committed source must never be thawed: {entries:?}"
                );
            }
        }
    }

    #[test]
    fn a_frozen_source_is_freed_of_criu_then_opened_then_thawed() {
        let undo = undo_source(&up_to(&SourceEntry::Freezing));
        let order: Vec<u8> = undo
            .iter()
            .map(|undo| match undo {
                Undo::Unthrottle { .. } => 0,
                Undo::EndCheckpoint { frozen, .. } => {
                    assert!(frozen);
                    1
                }
                Undo::Unhold { .. } => 2,
                Undo::Thaw { .. } => 3,
            })
            .collect();
        assert_eq!(order, [0, 0, 1, 1, 2, 3, 3, 3]);
    }

    #[test]
    fn a_source_that_was_never_frozen_is_not_thawed() {
        let mut entries = up_to(&SourceEntry::Freezing);
        entries.pop();
        let undo = undo_source(&entries);
        assert!(
            !undo.iter().any(|undo| matches!(undo, Undo::Thaw { .. })),
            "{undo:?}"
        );
        assert_eq!(undo.len(), 5);
    }

    #[test]
    fn before_the_commit_whoever_was_throttled_gets_back_the_very_first_limit() {
        let run = whole_run();
        for end in 1..=run.len() {
            let entries = &run[..end];
            let committed = resume_source(entries) != SourceResume::RollBack;
            let undo = undo_source(entries);
            for container in ["app", "sidecar"] {
                let limits: Vec<CpuLimit> = entries
                    .iter()
                    .filter_map(|entry| match entry {
                        SourceEntry::Throttled {
                            container: of, limit, ..
                        } if of == container => Some(*limit),
                        _ => None,
                    })
                    .collect();
                let wanted = Undo::Unthrottle {
                    container: container.to_owned(),
                    cpu: cpu(container),
                    former: former(container),
                    ours: limits.clone(),
                };
                let times = undo.iter().filter(|undo| **undo == wanted).count();
                let due = usize::from(!committed && !limits.is_empty());
                assert_eq!(times, due, "{container} after {entries:?}");
            }
            let all = undo
                .iter()
                .filter(|undo| matches!(undo, Undo::Unthrottle { .. }))
                .count();
            assert!(all <= 2, "{undo:?}");
        }
    }

    #[test]
    fn what_is_undone_survives_the_file() {
        let run = whole_run();
        let text = serde_json::to_string(&run).unwrap();
        let read: Vec<SourceEntry> = serde_json::from_str(&text).unwrap();
        assert_eq!(read, run);
    }
}
