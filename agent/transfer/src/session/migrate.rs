//! The order of a migration.
//!
//! A rule may demand that a message of the *other* side is there (then the sender has seen it, and so has whoever gets
//! the message), but forbid only by messages of the *same* side: what the other side may have sent meanwhile cannot be
//! known. So the same table is right at both ends, whatever crosses on the way.

use std::collections::{BTreeMap, BTreeSet};

use super::Party;
use crate::message::{Manifest, Message};
use crate::object::{ObjectKind, ObjectSpec, Pass};

/// One container of the manifest, and what has been said of it.
#[derive(Debug)]
struct Progress {
    /// Its memory comes apart from its images.
    lazy: bool,
    /// Its `create` waits at the target.
    parked: bool,
    /// Parts of which there is more to come.
    incomplete: BTreeSet<Part>,
    outcome: Option<Outcome>,
}

/// The parts of a container that are declared complete one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Images,
    Files,
}

impl Part {
    /// `None` for what is never declared complete.
    fn of(kind: &ObjectKind) -> Option<Self> {
        if kind.is_log() {
            None
        } else if kind.is_image() {
            Some(Self::Images)
        } else {
            Some(Self::Files)
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Restored,
    Failed,
}

/// What is said once for the whole pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    ManifestOk,
    EndParking,
    SpawnReady,
    Frozen,
    Prepared,
    Committed,
    Running,
    Released,
}

/// What has been said so far.
#[derive(Debug, Default)]
pub(super) struct Migrate {
    containers: BTreeMap<String, Progress>,
    volumes: BTreeSet<String>,
    open: BTreeMap<u32, ObjectKind>,
    said: BTreeSet<Step>,
}

type Rule = Result<(), &'static str>;

fn need(good: bool, why: &'static str) -> Rule {
    if good { Ok(()) } else { Err(why) }
}

impl Migrate {
    pub(super) fn is_prepared(&self) -> bool {
        self.has(Step::Prepared)
    }

    pub(super) fn is_committed(&self) -> bool {
        self.has(Step::Committed)
    }

    pub(super) fn is_released(&self) -> bool {
        self.has(Step::Released)
    }

    fn has(&self, step: Step) -> bool {
        self.said.contains(&step)
    }

    fn first(&mut self, step: Step) -> Rule {
        need(self.said.insert(step), "it has been sent")
    }

    /// True while the target may still say no to the manifest.
    pub(super) fn awaits_manifest_ok(&self) -> bool {
        !self.containers.is_empty() && !self.has(Step::ManifestOk)
    }

    /// Fails with the rule that the message breaks; nothing has changed then.
    pub(super) fn apply(&mut self, from: Party, message: &Message) -> Rule {
        match from {
            Party::Dialer => self.source(message),
            Party::Acceptor => self.target(message),
        }
    }

    fn source(&mut self, message: &Message) -> Rule {
        match message {
            Message::Manifest(manifest) => self.manifest(manifest),
            Message::ObjectStart(start) => {
                let (id, spec) = ObjectSpec::from_wire(start).map_err(|_| "it describes no object")?;
                self.object_start(&spec.kind)?;
                self.open.insert(id.number(), spec.kind);
                Ok(())
            }
            Message::ObjectEnd(end) => need(self.open.remove(&end.id).is_some(), "the object is not open"),
            Message::EndParking(_) => {
                need(self.has(Step::ManifestOk), "ManifestOk comes first")?;
                self.first(Step::EndParking)
            }
            Message::SpawnReady(_) => {
                need(self.has(Step::ManifestOk), "ManifestOk comes first")?;
                need(
                    !self.open.values().any(is_descriptors),
                    "descriptors are still open",
                )?;
                self.first(Step::SpawnReady)
            }
            Message::Frozen(_) => {
                need(
                    self.containers.values().any(|container| container.parked),
                    "no container is parked",
                )?;
                need(!self.open.values().any(is_base), "a base copy is still open")?;
                self.first(Step::Frozen)
            }
            Message::ImagesComplete(name) => self.complete(&name.container, Part::Images),
            Message::FilesComplete(name) => self.complete(&name.container, Part::Files),
            Message::Committed(_) => {
                need(self.has(Step::Prepared), "Prepared comes first")?;
                self.first(Step::Committed)
            }
            Message::Released(_) => {
                need(self.has(Step::Running), "Running comes first")?;
                self.first(Step::Released)
            }
            _ => Err("not a message of a migration's source"),
        }
    }

    fn target(&mut self, message: &Message) -> Rule {
        match message {
            Message::ManifestOk(_) => {
                need(self.awaits_manifest_ok(), "there is no manifest to answer")?;
                self.first(Step::ManifestOk)
            }
            Message::Parked(name) => {
                need(self.has(Step::EndParking), "EndParking comes first")?;
                let container = self.container(&name.container)?;
                need(!container.parked, "it has been sent")?;
                container.parked = true;
                Ok(())
            }
            Message::Restored(restored) => {
                let container = self.container(&restored.container)?;
                need(container.parked, "Parked comes first")?;
                need(container.incomplete.is_empty(), "its images and files come first")?;
                need(container.outcome.is_none(), "its outcome has been sent")?;
                container.outcome = Some(Outcome::Restored);
                Ok(())
            }
            Message::RestoreFailed(failed) => {
                need(self.has(Step::EndParking), "EndParking comes first")?;
                let container = self.container(&failed.container)?;
                need(container.outcome.is_none(), "its outcome has been sent")?;
                container.outcome = Some(Outcome::Failed);
                Ok(())
            }
            Message::Prepared(_) => {
                need(!self.containers.is_empty(), "there is no manifest")?;
                let restored = |container: &Progress| container.outcome == Some(Outcome::Restored);
                need(
                    self.containers.values().all(restored),
                    "a container is not restored",
                )?;
                self.first(Step::Prepared)
            }
            Message::Running(_) => {
                need(self.has(Step::Committed), "Committed comes first")?;
                self.first(Step::Running)
            }
            _ => Err("not a message of a migration's target"),
        }
    }

    fn manifest(&mut self, manifest: &Manifest) -> Rule {
        need(self.containers.is_empty(), "it has been sent")?;
        let containers = manifest.containers.iter().map(|container| {
            let progress = Progress {
                lazy: container.lazy,
                parked: false,
                incomplete: BTreeSet::from([Part::Images, Part::Files]),
                outcome: None,
            };
            (container.name.clone(), progress)
        });
        self.containers = containers.collect();
        self.volumes = manifest.volumes.iter().cloned().collect();
        Ok(())
    }

    fn container(&mut self, name: &str) -> Result<&mut Progress, &'static str> {
        self.containers
            .get_mut(name)
            .ok_or("the manifest has no such container")
    }

    fn object_start(&mut self, kind: &ObjectKind) -> Rule {
        need(self.has(Step::ManifestOk), "ManifestOk comes first")?;
        if let ObjectKind::Log { container, .. } = kind {
            return self.log_start(container, kind);
        }
        need(!self.all_complete(), "everything has been declared complete")?;
        if let ObjectKind::Volume { volume, .. } = kind {
            need(self.volumes.contains(volume), "the manifest has no such volume")?;
            let open =
                |other: &ObjectKind| matches!(other, ObjectKind::Volume { volume: its, .. } if its == volume);
            need(!self.open.values().any(open), "the pass before it is still open")?;
            let waiting = |container: &Progress| container.incomplete.contains(&Part::Files);
            need(
                self.containers.values().all(waiting),
                "the files of a container have been declared complete",
            )?;
        }
        match kind {
            ObjectKind::FileStream { pass: Pass::Base, .. } | ObjectKind::Volume { pass: Pass::Base, .. } => {
                need(!self.has(Step::Frozen), "a base copy precedes Frozen")?;
            }
            ObjectKind::FileStream {
                pass: Pass::Delta, ..
            }
            | ObjectKind::Volume {
                pass: Pass::Delta, ..
            }
            | ObjectKind::CriuImage { .. } => {
                need(self.has(Step::Frozen), "Frozen comes first")?;
            }
            ObjectKind::Descriptors { .. } => {
                need(!self.has(Step::SpawnReady), "descriptors precede SpawnReady")?;
            }
            ObjectKind::Pages { container, .. } => {
                let lazy = self.containers.get(container).is_some_and(|one| one.lazy);
                need(lazy, "the manifest does not say that its memory comes apart")?;
                let open = |other: &ObjectKind| {
                    matches!(other, ObjectKind::Pages { .. }) && other.container() == kind.container()
                };
                need(!self.open.values().any(open), "the round before is still open")?;
            }
            ObjectKind::Log { .. } => {}
        }
        let (Some(name), Some(part)) = (kind.container(), Part::of(kind)) else {
            return Ok(());
        };
        need(
            self.container(name)?.incomplete.contains(&part),
            "that part of the container has been declared complete",
        )
    }

    /// A log grows until the very end, and is of no concern to a restore: until the decision is told it may travel at any time.
    fn log_start(&mut self, name: &str, kind: &ObjectKind) -> Rule {
        need(!self.has(Step::Committed), "a log precedes Committed")?;
        self.container(name)?;
        let open = |other: &ObjectKind| other.is_log() && other.container() == kind.container();
        need(!self.open.values().any(open), "the pass before is still open")
    }

    fn complete(&mut self, name: &str, part: Part) -> Rule {
        need(self.has(Step::Frozen), "Frozen comes first")?;
        need(
            self.container(name)?.incomplete.contains(&part),
            "it has been sent",
        )?;
        // A volume may be mounted by any of the containers.
        let open = |kind: &ObjectKind| {
            let its = kind.container() == Some(name) || matches!(kind, ObjectKind::Volume { .. });
            its && Part::of(kind) == Some(part)
        };
        need(
            !self.open.values().any(open),
            "an object of that container is still open",
        )?;
        if self.incomplete_parts() == 1 {
            need(
                self.open.values().all(ObjectKind::is_log),
                "an object of the pod is still open",
            )?;
        }
        self.container(name)?.incomplete.remove(&part);
        Ok(())
    }

    fn incomplete_parts(&self) -> usize {
        self.containers.values().map(|one| one.incomplete.len()).sum()
    }

    fn all_complete(&self) -> bool {
        self.incomplete_parts() == 0
    }
}

fn is_base(kind: &ObjectKind) -> bool {
    kind.pass() == Some(Pass::Base)
}

fn is_descriptors(kind: &ObjectKind) -> bool {
    matches!(kind, ObjectKind::Descriptors { .. })
}
