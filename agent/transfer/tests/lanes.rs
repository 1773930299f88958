//! Lanes: pages only, one object after the other, never too far ahead of what is kept.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by panicking, also in its helpers.

mod support;

use std::collections::VecDeque;

use bytes::Bytes;
use godwit_transfer::{
    Event, Frame, Hello, MAX_UNSTORED, Message, ObjectId, ObjectKind, ObjectSpec, Pass, Role, Stored,
};
use proptest::prelude::*;
use support::*;

fn pages() -> ObjectSpec {
    ObjectSpec::new(ObjectKind::Pages {
        container: "redis".to_owned(),
        round: 1,
    })
}

fn stored(objects: u32) -> Message {
    Message::Stored(Stored { objects })
}

fn lane() -> Pair {
    let mut pair = Pair::new();
    pair.source_says(&Message::Hello(Hello::lane(MIGRATION, "n1", 3)))
        .unwrap();
    pair.target_says(&welcome()).unwrap();
    pair
}

#[test]
fn pages_of_one_round_come_in_many_objects() {
    let mut pair = lane();
    for object in 1..=40 {
        pair.object(&pages(), b"batch").unwrap();
        assert_eq!(
            pair.target_says(&stored(object)).unwrap(),
            Event::Message(stored(object))
        );
    }
}

#[test]
fn nothing_but_pages() {
    let mut pair = lane();
    for spec in [image("redis", "a.img"), files(None, Pass::Base)] {
        let error = pair.source.out.begin_object(&spec).unwrap_err();
        assert!(error.to_string().contains("pages only"), "{error}");
    }
    for message in [manifest(&["redis"]), abort(), Message::Prepared(EMPTY), stored(1)] {
        assert!(pair.source.out.send(&message).is_err(), "{}", message.name());
    }
    for message in [
        Message::ManifestOk(godwit_transfer::Agreed::default()),
        abort(),
        Message::Refuse(godwit_transfer::Refuse::new("No", "")),
    ] {
        assert!(pair.target.out.send(&message).is_err(), "{}", message.name());
    }
    assert!(pair.target.out.begin_object(&pages()).is_err());
    let mut migration = Pair::agreed(&["redis"]);
    assert!(migration.target.out.send(&stored(1)).is_err());
}

#[test]
fn a_source_never_runs_ahead() {
    let mut pair = lane();
    for _ in 0..MAX_UNSTORED {
        pair.object(&pages(), b"batch").unwrap();
    }
    let error = pair.source.out.begin_object(&pages()).unwrap_err();
    assert!(error.to_string().contains("not known to be stored"), "{error}");
    pair.target_says(&stored(2)).unwrap();
    pair.object(&pages(), b"batch").unwrap();
    begin(&mut pair, &pages());
    assert!(pair.source.out.begin_object(&pages()).is_err());
}

#[test]
fn only_what_has_ended_can_be_stored_and_only_once() {
    let mut pair = lane();
    assert!(pair.target.out.send(&stored(1)).is_err());
    let first = begin(&mut pair, &pages());
    assert!(pair.target.out.send(&stored(1)).is_err(), "it is open");
    let end = pair.source.out.end_object(first).unwrap();
    pair.target.inb.receive(end).unwrap();
    pair.target_says(&stored(1)).unwrap();
    assert!(pair.target.out.send(&stored(1)).is_err(), "twice");
    assert!(pair.target.out.send(&stored(2)).is_err(), "too far");
    assert!(pair.target.out.send(&stored(0)).is_err(), "nothing");
}

#[test]
fn a_connection_that_takes_the_place_of_another_is_a_migration() {
    let mut pair = Pair::new();
    let hello = Hello::resuming(MIGRATION, "n1", 5);
    assert_eq!((hello.role(), hello.resumes), (Role::Migrate, Some(5)));
    pair.source_says(&Message::Hello(hello)).unwrap();
    pair.target_says(&welcome()).unwrap();
    pair.source_says(&manifest(&["redis"])).unwrap();
    pair.target_says(&Message::ManifestOk(godwit_transfer::Agreed::default()))
        .unwrap();
}

/// Something that one of the two might try at any time.
#[derive(Clone, Debug)]
enum Attempt {
    Begin,
    Chunk,
    End,
    Store(u32),
    Deliver(bool),
}

proptest! {
    #[test]
    fn what_one_may_say_the_other_accepts(attempts in prop::collection::vec(prop_oneof![
        Just(Attempt::Begin), Just(Attempt::Chunk), Just(Attempt::End),
        (1..4_u32).prop_map(Attempt::Store), any::<bool>().prop_map(Attempt::Deliver),
    ], 0..600)) {
        let mut pair = lane();
        let (mut down, mut up): (VecDeque<Frame>, VecDeque<Frame>) = Default::default();
        let mut open: Option<ObjectId> = None;
        let (mut begun, mut ended, mut kept, mut known) = (0_u32, 0_u32, 0_u32, 0_u32);
        for attempt in attempts {
            match attempt {
                Attempt::Begin => if let Ok((id, frame)) = pair.source.out.begin_object(&pages()) {
                    begun += 1;
                    prop_assert!(open.is_none() && begun - known <= MAX_UNSTORED);
                    open = Some(id);
                    down.push_back(frame);
                },
                Attempt::Chunk => if let Some(id) = open {
                    down.push_back(pair.source.out.chunk(id, Bytes::from_static(b"batch")).unwrap());
                },
                Attempt::End => if let Some(id) = open.take() {
                    down.push_back(pair.source.out.end_object(id).unwrap());
                },
                Attempt::Store(more) => if let Ok(frame) = pair.target.out.send(&stored(kept + more)) {
                    kept += more;
                    prop_assert!(kept <= ended);
                    up.push_back(frame);
                },
                Attempt::Deliver(true) => {
                    let event = down.pop_front().map(|frame| pair.target.inb.receive(frame).unwrap());
                    ended += u32::from(matches!(event, Some(Event::ObjectEnd { .. })));
                }
                Attempt::Deliver(false) => {
                    let event = up.pop_front().map(|frame| pair.source.inb.receive(frame).unwrap());
                    if let Some(Event::Message(Message::Stored(stored))) = event {
                        known = stored.objects;
                    }
                }
            }
        }
    }
}
