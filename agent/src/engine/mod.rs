//! Which migrations run here: tasks are started by the API and by the journals, connections are given to whom they concern.

mod callers;
mod roster;

use std::sync::Arc;

use godwit_crds::{MigrationPhase, PodMigration, PodMigrationSpec};
use godwit_transfer::MAX_LANES;
use kube::api::ObjectMeta;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::roster::{Roster, Ways};
use crate::{
    carry,
    drain::Drain,
    failure::chain,
    journal::{Journal, JournalError, SourceEntry, TargetEntry},
    kube_side::{MigrationEvent, MigrationFeed, NodePods, Role},
    metrics::{Metrics, RoleLabel},
    node::Node,
    peer::PeerListener,
    preflight::{Looks, is_asked},
    source::SourceTask,
    target::{self, Doors, TargetTask},
    verdicts::{Answer, Verdicts},
};

/// Connections of a source that may wait for its target's task.
const WAITING_LINKS: usize = 2;

/// Everything that an agent does once its node is set up.
pub struct Engine {
    node: Arc<Node>,
    roster: Arc<Roster>,
    verdicts: Arc<Verdicts>,
    looks: Arc<Looks>,
    drain: Drain,
    metrics: Metrics,
}

impl Engine {
    /// Reads the journals, so that from the first call on every question about an old migration gets the right answer.
    pub fn new(node: Arc<Node>, drain: Drain, metrics: Metrics) -> Result<Self, JournalError> {
        let verdicts = Arc::new(Verdicts::default());
        for uid in node.journals.list("source")? {
            let journal: Journal<SourceEntry> = node.journals.open(&uid, "source")?;
            verdicts.set(&uid, answer_of(journal.entries()));
        }
        Ok(Self {
            node,
            roster: Arc::default(),
            looks: Arc::default(),
            verdicts,
            drain,
            metrics,
        })
    }

    /// Runs until `ended`.
    pub async fn run(
        self: Arc<Self>,
        feed: &MigrationFeed,
        pods: NodePods,
        listener: PeerListener,
        ended: CancellationToken,
    ) {
        tokio::spawn(callers::serve(
            self.node.clone(),
            self.roster.clone(),
            self.verdicts.clone(),
            listener,
            ended.clone(),
        ));
        tokio::spawn(carry::keep_watch(self.node.clone(), pods.clone(), ended.clone()));
        tokio::spawn(target::parking::end_needless(
            self.node.clone(),
            pods,
            ended.clone(),
        ));
        let mut events = feed.subscribe();
        loop {
            let event = tokio::select! {
                () = ended.cancelled() => return,
                event = events.recv() => event,
            };
            match event {
                Some(MigrationEvent::Applied { role, migration }) => self.applied(role, migration),
                Some(MigrationEvent::Deleted { role, migration }) => self.roster.gone(role, &migration),
                Some(MigrationEvent::Synced) => self.take_up_orphans(),
                None => return,
            }
        }
    }

    fn applied(self: &Arc<Self>, role: Role, migration: Arc<PodMigration>) {
        let Some(uid) = migration.metadata.uid.clone() else {
            return;
        };
        if self.roster.update(role, &uid, &migration) {
            return;
        }
        if role == Role::Source && is_asked(&migration) {
            return self.looks.begin(&self.node, &uid, &migration);
        }
        let journaled = self.is_journaled(role, &uid);
        if journaled || is_to_begin(&migration) {
            self.start(role, uid, migration, journaled, true);
        }
    }

    /// Journals of migrations whose objects are gone: what they name must be undone or finished all the same.
    fn take_up_orphans(self: &Arc<Self>) {
        for role in [Role::Source, Role::Target] {
            for uid in self.node.journals.list(role_name(role)).unwrap_or_default() {
                if !self.roster.has(role, &uid) {
                    tracing::warn!(%uid, ?role, "a migration is in the journal but not in the API");
                    let (namespace, name) = self.named(role, &uid);
                    let metadata = ObjectMeta {
                        uid: Some(uid.clone()),
                        namespace: Some(namespace),
                        name: Some(name),
                        ..ObjectMeta::default()
                    };
                    let migration = PodMigration {
                        metadata,
                        spec: nothing_asked(),
                        status: None,
                    };
                    self.start(role, uid, Arc::new(migration), true, false);
                }
            }
        }
    }

    fn start(
        self: &Arc<Self>,
        role: Role,
        uid: String,
        migration: Arc<PodMigration>,
        journaled: bool,
        there: bool,
    ) {
        let running = if journaled {
            Some(self.drain.resume())
        } else {
            self.drain.begin()
        };
        let Some(running) = running else {
            tracing::info!(%uid, "not begun: this agent is ending");
            return;
        };
        let (to_links, links) = mpsc::channel(WAITING_LINKS);
        let (to_lanes, lanes) = mpsc::channel(MAX_LANES as usize);
        let ways = Ways {
            links: to_links,
            lanes: to_lanes,
        };
        let updates = self.roster.add(role, &uid, migration, ways);
        if !there {
            self.roster.close(role, &uid);
        }
        let engine = self.clone();
        tokio::spawn(async move {
            let active = engine.metrics.active(label_of(role));
            match role {
                Role::Source => {
                    let (node, verdicts) = (engine.node.clone(), engine.verdicts.clone());
                    SourceTask {
                        node,
                        updates,
                        verdicts,
                        metrics: engine.metrics.clone(),
                    }
                    .run()
                    .await;
                }
                Role::Target => {
                    TargetTask {
                        node: engine.node.clone(),
                        updates,
                        doors: Doors { links, lanes },
                        metrics: engine.metrics.clone(),
                    }
                    .run()
                    .await;
                }
            }
            engine.roster.ended(role, &uid);
            drop(active);
            drop(running);
        });
    }

    fn is_journaled(&self, role: Role, uid: &str) -> bool {
        let listed = self.node.journals.list(role_name(role));
        let listed =
            listed.inspect_err(|error| tracing::error!(error = chain(error), "journals cannot be listed"));
        listed.is_ok_and(|listed| listed.iter().any(|known| known == uid))
    }

    /// Namespace and name as the journal has them.
    fn named(&self, role: Role, uid: &str) -> (String, String) {
        let named = match role {
            Role::Source => self
                .node
                .journals
                .open::<SourceEntry>(uid, role_name(role))
                .ok()
                .and_then(|journal| {
                    journal.entries().iter().find_map(|entry| match entry {
                        SourceEntry::Begun { namespace, name, .. } => Some((namespace.clone(), name.clone())),
                        _ => None,
                    })
                }),
            Role::Target => self
                .node
                .journals
                .open::<TargetEntry>(uid, role_name(role))
                .ok()
                .and_then(|journal| {
                    journal.entries().iter().find_map(|entry| match entry {
                        TargetEntry::Begun { namespace, name, .. } => Some((namespace.clone(), name.clone())),
                        _ => None,
                    })
                }),
        };
        named.unwrap_or_else(|| ("default".to_owned(), uid.to_owned()))
    }
}

fn label_of(role: Role) -> RoleLabel {
    match role {
        Role::Source => RoleLabel::Source,
        Role::Target => RoleLabel::Target,
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Source => "source",
        Role::Target => "target",
    }
}

/// A migration that no journal knows is begun in one phase only: in any other, this agent has had its part, or never gets one.
fn is_to_begin(migration: &PodMigration) -> bool {
    let Some(status) = &migration.status else {
        return false;
    };
    let complete = status
        .plan
        .as_ref()
        .is_some_and(|plan| plan.target_pod_uid.is_some());
    status.phase == MigrationPhase::Copying && complete
}

/// The spec of an object that is gone.
fn nothing_asked() -> PodMigrationSpec {
    PodMigrationSpec::default()
}

fn answer_of(entries: &[SourceEntry]) -> Answer {
    let is = |wanted: fn(&SourceEntry) -> bool| entries.iter().any(wanted);
    if is(|entry| matches!(entry, SourceEntry::RolledBack { .. })) {
        Answer::Aborted
    } else if is(|entry| matches!(entry, SourceEntry::Committed { .. })) {
        Answer::Committed
    } else {
        Answer::Undecided
    }
}
