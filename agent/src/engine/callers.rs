//! Other agents that call: a source with a pod, a target with a question, a node with news of an address.

use std::{sync::Arc, time::Duration};

use godwit_transfer::{Empty, Event, Message, Role, Verdict, VerdictAnswer};
use tokio::{sync::mpsc::error::TrySendError, time::timeout};
use tokio_util::sync::CancellationToken;

use super::roster::{Roster, Stranger};
use crate::{
    carry,
    failure::chain,
    node::Node,
    peer::{Caller, PeerError, PeerListener},
    target::Link,
    verdicts::{Answer, Verdicts},
};

/// How long a conversation of questions may last.
const TALK_LIMIT: Duration = Duration::from_secs(30);

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
            .refuse("MigrationOver", "the migration takes no connection any more")
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

async fn refuse(caller: Caller, stranger: Stranger) -> Result<(), PeerError> {
    let (reason, message) = match stranger {
        Stranger::Unknown => (
            "MigrationUnknown",
            "this node has not been told of the migration (yet)",
        ),
        Stranger::WrongNode => ("WrongNode", "the migration is not one of the caller's node"),
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
