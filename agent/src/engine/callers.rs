//! Other agents that call: a source with a pod, a target with a question, a node with news of an address.

use std::{sync::Arc, time::Duration};

use godwit_transfer::{Empty, Event, Message, Role, Verdict, VerdictAnswer};
use tokio::{sync::mpsc::error::TrySendError, time::timeout};
use tokio_util::sync::CancellationToken;

use super::roster::{Roster, Stranger};
use crate::{
    carry,
    failure::chain,
    host_files,
    node::Node,
    peer::{
        Caller, PeerError, PeerListener,
        refusal::{MIGRATION_OVER, WRONG_NODE},
    },
    target::Link,
    verdicts::{Answer, Verdicts},
};

/// How long a conversation of questions may last.
const TALK_LIMIT: Duration = Duration::from_secs(30);
/// The same of questions about files: the first time they are read from a disk. Longer than the source waits.
const FILES_LIMIT: Duration = Duration::from_mins(3);

/// Answers every caller until `ended`.
pub(super) async fn serve(
    node: Arc<Node>,
    roster: Arc<Roster>,
    verdicts: Arc<Verdicts>,
    mut listener: PeerListener,
    ended: CancellationToken,
) {
    loop {
        let caller = tokio::select! {
            () = ended.cancelled() => return,
            caller = listener.accept() => caller,
        };
        let Some(caller) = caller else { return };
        let (node, roster, verdicts) = (node.clone(), roster.clone(), verdicts.clone());
        tokio::spawn(async move {
            let who = caller.node().to_owned();
            let role = caller.hello().role();
            let answered = match role {
                Role::Migrate => migrate(&roster, caller).await,
                Role::AskVerdict => within(verdict(&verdicts, caller)).await,
                Role::Carry => within(carried(&node, caller)).await,
                Role::Lane => lane(&roster, caller).await,
                Role::HostFiles => {
                    let talk = host_files(&node, &roster, caller);
                    timeout(FILES_LIMIT, talk).await.unwrap_or(Ok(()))
                }
                Role::Unspecified => {
                    caller
                        .refuse("RoleUnknown", "this agent does not know what the caller wants")
                        .await
                }
            };
            if let Err(error) = answered {
                tracing::info!(node = who, ?role, error = chain(&error), "a caller was lost");
            }
        });
    }
}

async fn within(talk: impl Future<Output = Result<(), PeerError>>) -> Result<(), PeerError> {
    timeout(TALK_LIMIT, talk).await.unwrap_or(Ok(()))
}

/// A pod comes: only from the node that the plan names, and only to a task that waits for it.
async fn migrate(roster: &Roster, caller: Caller) -> Result<(), PeerError> {
    let ways = match roster.target_of(&caller.hello().migration_uid, caller.node()) {
        Ok(ways) => ways,
        Err(stranger) => return refuse(caller, stranger).await,
    };
    let Ok(place) = ways.links.try_reserve() else {
        return caller
            .refuse(MIGRATION_OVER, "the migration takes no connection any more")
            .await;
    };
    let resumes = caller.hello().resumes;
    let (sender, receiver) = caller.welcome().await?;
    place.send(Link {
        sender,
        receiver,
        resumes,
    });
    Ok(())
}

/// Memory comes: the same holds. The task itself lets it in.
async fn lane(roster: &Roster, caller: Caller) -> Result<(), PeerError> {
    let ways = match roster.target_of(&caller.hello().migration_uid, caller.node()) {
        Ok(ways) => ways,
        Err(stranger) => return refuse(caller, stranger).await,
    };
    match ways.lanes.try_send(caller) {
        Ok(()) => Ok(()),
        Err(TrySendError::Full(caller) | TrySendError::Closed(caller)) => {
            caller
                .refuse("LanesClosed", "the migration takes no memory (yet, or any more)")
                .await
        }
    }
}

/// The source of a migration asks which files are here: of one that has a task here, or of one that may come.
async fn host_files(node: &Node, roster: &Roster, caller: Caller) -> Result<(), PeerError> {
    let known = roster.target_of(&caller.hello().migration_uid, caller.node());
    if known.is_ok() || host_files::entitled(node, &caller).await {
        return host_files::answer(&node.host.root(), &node.host_files, caller).await;
    }
    refuse(caller, Stranger::Unknown).await
}

async fn refuse(caller: Caller, stranger: Stranger) -> Result<(), PeerError> {
    let (reason, message) = match stranger {
        Stranger::Unknown => (
            "MigrationUnknown",
            "this node has not been told of the migration (yet)",
        ),
        Stranger::WrongNode => (WRONG_NODE, "the migration is not one of the caller's node"),
    };
    caller.refuse(reason, message).await
}

async fn verdict(verdicts: &Verdicts, caller: Caller) -> Result<(), PeerError> {
    let migration = caller.hello().migration_uid.clone();
    let (sender, mut receiver) = caller.welcome().await?;
    loop {
        match receiver.recv().await {
            Ok(Event::Message(Message::VerdictRequest(_))) => {
                let answer = match verdicts.get(&migration) {
                    Some(Answer::Committed) => VerdictAnswer::Committed,
                    Some(Answer::Aborted) => VerdictAnswer::Aborted,
                    Some(Answer::Undecided) => VerdictAnswer::Undecided,
                    None => VerdictAnswer::Unknown,
                };
                tracing::info!(%migration, ?answer, "asked for the verdict");
                sender
                    .send(Message::Verdict(Verdict {
                        verdict: answer.into(),
                    }))
                    .await?;
            }
            Ok(_) => {}
            // The question is answered and the caller has gone.
            Err(_) => return Ok(()),
        }
    }
}

async fn carried(node: &Node, caller: Caller) -> Result<(), PeerError> {
    let by = caller.node().to_owned();
    let (sender, mut receiver) = caller.welcome().await?;
    loop {
        let done = match receiver.recv().await {
            Ok(Event::Message(Message::CarryMove(moved))) => carry::answer_move(node, &by, &moved).await,
            Ok(Event::Message(Message::CarryEnded(ended))) => carry::answer_ended(node, &by, &ended).await,
            Ok(_) => continue,
            Err(_) => return Ok(()),
        };
        match done {
            Ok(()) => sender.send(Message::CarryOk(Empty {})).await?,
            Err(error) => {
                // No answer: the caller tries again, and this log says why.
                tracing::warn!(
                    by,
                    error = chain(&error),
                    "news of a carried address was not taken"
                );
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use godwit_crds::PodMigration;
    use godwit_transfer::{Hello, Limits};
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        engine::roster::Ways,
        kube_side,
        peer::{self, Timing, tests::authority::Authority},
    };

    const UID: &str = "5f0c7c0e-0000-4000-8000-000000000001";

    /// A migration from node n1, whose target is here.
    fn coming() -> PodMigration {
        let migration = serde_json::json!({
            "apiVersion": "godwit.dev/v1alpha1",
            "kind": "PodMigration",
            "metadata": { "name": "m", "uid": UID },
            "spec": { "podName": "p" },
            "status": { "plan": {
                "sourcePodUid": "s", "sourceNode": "n1", "sourceAddress": "192.0.2.1",
                "deadline": "2030-01-01T00:00:00Z",
            } },
        });
        serde_json::from_value(migration).unwrap()
    }

    /// What the caller from a node is told, who says that of a lane or a migration.
    async fn answer(roster: &Roster, node: &str, hello: Hello) -> Result<(), String> {
        let authority = Authority::new();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let identity = Arc::new(authority.identity("n2"));
        let mut listener = PeerListener::bind(any, identity, Timing::default(), Limits::default())
            .await
            .unwrap();
        let own = authority.identity(node);
        let (asked, answered) = tokio::join!(peer::greet(listener.address(), "n2", &own, hello), async {
            let caller = listener.accept().await.unwrap();
            match caller.hello().role() {
                Role::Lane => lane(roster, caller).await,
                _ => migrate(roster, caller).await,
            }
        });
        answered.unwrap();
        match asked {
            Ok(_) => Ok(()),
            Err(PeerError::Refused { reason, .. }) => Err(reason),
            Err(error) => Err(chain(&error)),
        }
    }

    #[tokio::test]
    async fn who_has_no_business_here_is_told_so_by_name() {
        let roster = Roster::default();
        let (links, mut to_task) = mpsc::channel(1);
        let (lanes, lane_callers) = mpsc::channel(1);
        let ways = Ways { links, lanes };
        let _updates = roster.add(kube_side::Role::Target, UID, Arc::new(coming()), ways);
        let refused = |reason: &str| Err(reason.to_owned());
        for uid in ["another", UID] {
            let expected = if uid == UID {
                "WrongNode"
            } else {
                "MigrationUnknown"
            };
            let lane = Hello::lane(uid, "n3", 0);
            assert_eq!(answer(&roster, "n3", lane).await, refused(expected));
            let migration = Hello::new(Role::Migrate, uid, "n3");
            assert_eq!(answer(&roster, "n3", migration).await, refused(expected));
        }
        let resuming = Hello::resuming(UID, "n1", 4);
        assert_eq!(answer(&roster, "n1", resuming).await, Ok(()));
        assert_eq!(to_task.recv().await.unwrap().resumes, Some(4));
        drop((to_task, lane_callers));
        assert_eq!(
            answer(&roster, "n1", Hello::lane(UID, "n1", 0)).await,
            refused("LanesClosed")
        );
        let late = Hello::resuming(UID, "n1", 4);
        assert_eq!(answer(&roster, "n1", late).await, refused("MigrationOver"));
    }
}
