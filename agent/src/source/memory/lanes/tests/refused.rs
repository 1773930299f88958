//! Who must not get in, and what must not be kept.

use bytes::Bytes;
use godwit_transfer::{Event, Hello, MAX_LANES, Message, ObjectKind, ObjectSpec};

use super::{
    target::{CONTAINER, Target, UID},
    *,
};
use crate::peer::{self, PeerError, Receiver, Sender};

async fn call(authority: &Authority, target: &Target, lane: u32) -> Result<(Sender, Receiver), PeerError> {
    let hello = Hello::lane(UID, "n1", lane);
    peer::greet_within(timing(), target.address, "n2", &authority.identity("n1"), hello).await
}

fn pages(container: &str) -> ObjectSpec {
    ObjectSpec::new(ObjectKind::Pages {
        container: container.to_owned(),
        round: 1,
    })
}

fn refusal(result: Result<(Sender, Receiver), PeerError>) -> String {
    match result {
        Err(PeerError::Refused { reason, .. }) => reason,
        other => panic!("not refused: {:?}", other.map(drop)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_out_of_bounds() {
    let authority = Authority::new();
    let target = Target::start(&authority).await;
    for lane in [MAX_LANES, u32::MAX] {
        assert_eq!(refusal(call(&authority, &target, lane).await), "LaneOutOfBounds");
    }
    assert!(call(&authority, &target, MAX_LANES - 1).await.is_ok() && target.is_well());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_in_the_freeze() {
    let authority = Authority::new();
    let mut target = Target::start(&authority).await;
    let (_sender, mut receiver) = call(&authority, &target, 0).await.unwrap();
    target.freeze.take().unwrap().send(()).unwrap();
    assert_eq!(receiver.recv().await.unwrap_err().reason(), "PeerClosed");
    assert_eq!(refusal(call(&authority, &target, 0).await), "LanesClosed");
    assert!(target.is_well());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_lane_twice_is_the_second_one() {
    let authority = Authority::new();
    let target = Target::start(&authority).await;
    let (first, mut to_first) = call(&authority, &target, 0).await.unwrap();
    let (other, mut to_other) = call(&authority, &target, 1).await.unwrap();
    let (second, mut to_second) = call(&authority, &target, 0).await.unwrap();
    assert_eq!(to_first.recv().await.unwrap_err().reason(), "PeerClosed");
    drop(first);
    for (sender, receiver) in [(&second, &mut to_second), (&other, &mut to_other)] {
        let id = sender.begin_object(pages(CONTAINER)).await.unwrap();
        sender.end_object(id).await.unwrap();
        let event = receiver.recv().await.unwrap();
        assert!(matches!(event, Event::Message(Message::Stored(stored)) if stored.objects == 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_batch_ends_the_migration() {
    let authority = Authority::new();
    let target = Target::start(&authority).await;
    let (sender, _receiver) = call(&authority, &target, 0).await.unwrap();
    let id = sender.begin_object(pages(CONTAINER)).await.unwrap();
    sender
        .send_chunk(id, Bytes::from_static(b"garbage"))
        .await
        .unwrap();
    let error = target.failure().await;
    assert!(matches!(error, PagesError::Wire(_)), "{error:?}");
    assert_eq!(error.reason(), "BatchLength");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_nobody_end_the_migration() {
    let authority = Authority::new();
    let target = Target::start(&authority).await;
    let (sender, _receiver) = call(&authority, &target, 0).await.unwrap();
    sender.begin_object(pages("other")).await.unwrap();
    assert_eq!(target.failure().await.reason(), "PagesUnexpected");
}
