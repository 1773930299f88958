//! Asking the source how the migration ended. The source's journal is the truth; the operator speaks for a source whose node is gone for good.

use std::{net::IpAddr, sync::Arc, time::Duration};

use godwit_crds::{PodMigration, Settlement};
use godwit_transfer::{Empty, Event, Hello, Message, Role, VerdictAnswer};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::{
    failure::{AtStep, Failure},
    node::Node,
    peer,
    step::TargetStep,
};

/// How long the source may take to answer one question.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Pause before it is asked again.
const AGAIN: Duration = Duration::from_millis(500);

/// How a migration was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// The target is the workload.
    Committed,
    /// The source is the workload.
    Aborted,
}

/// Asks until there is an answer; as long as there is none, the target neither runs nor goes away.
pub(super) async fn ask(
    node: &Arc<Node>,
    migration: &str,
    (source_node, source_address): (&str, &str),
    updates: &mut watch::Receiver<Arc<PodMigration>>,
) -> Decision {
    loop {
        if let Some(decision) = settled(&updates.borrow_and_update()) {
            return decision;
        }
        match timeout(
            ANSWER_WITHIN,
            ask_once(node, migration, source_node, source_address),
        )
        .await
        {
            Ok(Ok(VerdictAnswer::Committed)) => return Decision::Committed,
            // A source forgets a migration only after a rollback, or after it has heard that the target runs.
            Ok(Ok(VerdictAnswer::Aborted | VerdictAnswer::Unknown)) => return Decision::Aborted,
            Ok(Ok(VerdictAnswer::Undecided | VerdictAnswer::Unspecified)) => {}
            Ok(Err(failure)) => tracing::info!(%failure, "the source cannot be asked yet"),
            Err(_) => tracing::info!("the source does not answer"),
        }
        tokio::select! {
            () = sleep(AGAIN) => {}
            _ = updates.changed() => {}
        }
    }
}

/// What the operator has settled in place of a source whose node cannot run pods any more.
fn settled(migration: &PodMigration) -> Option<Decision> {
    match migration.status.as_ref()?.settlement? {
        Settlement::TargetRuns => Some(Decision::Committed),
        Settlement::TargetEnds => Some(Decision::Aborted),
    }
}

async fn ask_once(
    node: &Arc<Node>,
    migration: &str,
    source_node: &str,
    source_address: &str,
) -> Result<VerdictAnswer, Failure> {
    let step = TargetStep::AwaitVerdict;
    let address: IpAddr = source_address.parse().map_err(|_| {
        Failure::new(
            step,
            "PlanIncomplete",
            format!("`{source_address}` is no address of a node"),
        )
    })?;
    let hello = Hello::new(Role::AskVerdict, migration, &node.name);
    let (sender, mut receiver) = peer::greet((address, node.port).into(), source_node, &node.identity, hello)
        .await
        .at(step)?;
    sender.send(Message::VerdictRequest(Empty {})).await.at(step)?;
    loop {
        match receiver.recv().await.at(step)? {
            Event::Message(Message::Verdict(verdict)) => return Ok(verdict.verdict()),
            event => tracing::debug!(?event, "not an answer"),
        }
    }
}
