//! What nodes tell each other about carried addresses.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use godwit_transfer::{CarryEnded, CarryMove, Event, Hello, Message, Role};
use tokio::time::{Instant, sleep, timeout};

use super::entry::{CarryError, NodeAt};
use crate::{
    failure::{AtStep, Failure},
    node::Node,
    peer,
};

/// How long another node may take for one call.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// What stands for the step in a failure.
const STEP: &str = "Carry";
/// Carry calls belong to an address, not to a migration; the protocol wants a name all the same.
const NO_MIGRATION: &str = "carry";

/// Pause before a node that could not be told is told again.
const TELL_AGAIN: Duration = Duration::from_secs(2);
/// How often a home is told. Until it has heard, what it sends goes the longer way, by the node that the pod has left.
const TELL_TIMES: u32 = 30;
/// For how long the pod's node is told that its address belongs to another pod.
const TELL_ENDED_FOR: Duration = Duration::from_mins(10);

/// Tells the home of an address, beside other work, where its pod is now.
pub fn tell_home(node: Arc<Node>, home: NodeAt, address: Ipv4Addr, holder: NodeAt) {
    tokio::spawn(async move {
        for _ in 0..TELL_TIMES {
            match tell_moved(&node, &home, address, &holder).await {
                Ok(()) => return,
                Err(failure) => {
                    tracing::info!(%failure, %address, home = home.name, "the home could not be told yet");
                }
            }
            sleep(TELL_AGAIN).await;
        }
        tracing::warn!(%address, home = home.name, "the home was never told where the address is");
    });
}

/// Tells the home of an address where its pod is now.
async fn tell_moved(node: &Arc<Node>, home: &NodeAt, address: Ipv4Addr, to: &NodeAt) -> Result<(), Failure> {
    let moved = CarryMove {
        address: address.to_string(),
        new_node: to.name.clone(),
        new_address: to.address.to_string(),
    };
    call(node, home, Message::CarryMove(moved)).await
}

/// Tells a node, beside other work, that an address that this node has ended its part in is carried no longer.
///
/// A node that never hears of it finds out that nothing uses the address: its connections no longer get answers.
pub(super) fn tell_ended_beside(node: Arc<Node>, other: NodeAt, address: Ipv4Addr) {
    tokio::spawn(async move {
        let until = Instant::now() + TELL_ENDED_FOR;
        // The new owner of the address may move as well: then it is carried again, and nothing of that has ended.
        while Instant::now() < until && !node.carry.has(address) {
            match tell_ended(&node, &other, address).await {
                Ok(()) => return,
                Err(failure) => {
                    tracing::info!(%failure, %address, other = other.name, "the other node could not be told yet");
                }
            }
            sleep(TELL_AGAIN).await;
        }
        tracing::warn!(%address, other = other.name, "the other node was not told that the address is carried no longer");
    });
}

/// Tells a node that an address is carried no longer.
pub(super) async fn tell_ended(node: &Arc<Node>, other: &NodeAt, address: Ipv4Addr) -> Result<(), Failure> {
    call(
        node,
        other,
        Message::CarryEnded(CarryEnded {
            address: address.to_string(),
        }),
    )
    .await
}

async fn call(node: &Arc<Node>, other: &NodeAt, message: Message) -> Result<(), Failure> {
    let answered = timeout(ANSWER_WITHIN, async {
        let hello = Hello::new(Role::Carry, NO_MIGRATION, &node.name);
        let (sender, mut receiver) = peer::greet(
            (other.address, node.port).into(),
            &other.name,
            &node.identity,
            hello,
        )
        .await
        .at(STEP)?;
        sender.send(message).await.at(STEP)?;
        loop {
            match receiver.recv().await.at(STEP)? {
                Event::Message(Message::CarryOk(_)) => return Ok(()),
                event => tracing::debug!(?event, "not an answer"),
            }
        }
    });
    answered
        .await
        .map_err(|_| Failure::new(STEP, "TimedOut", format!("node {} does not answer", other.name)))?
}

/// Does what another node tells in a [`CarryMove`]; `by` is its name.
pub async fn answer_move(node: &Node, by: &str, moved: &CarryMove) -> Result<(), CarryError> {
    let (Ok(address), Ok(new)) = (moved.address.parse(), moved.new_address.parse()) else {
        return Err(CarryError::NotTheirs {
            node: by.to_owned(),
            address: Ipv4Addr::UNSPECIFIED,
        });
    };
    node.carry
        .moved_on(
            by,
            address,
            NodeAt {
                name: moved.new_node.clone(),
                address: new,
            },
        )
        .await
}

/// Does what another node tells in a [`CarryEnded`]; `by` is its name.
pub async fn answer_ended(node: &Node, by: &str, ended: &CarryEnded) -> Result<(), CarryError> {
    let Ok(address) = ended.address.parse() else {
        return Err(CarryError::NotTheirs {
            node: by.to_owned(),
            address: Ipv4Addr::UNSPECIFIED,
        });
    };
    node.carry.end_for(by, address).await
}
