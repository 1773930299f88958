//! Objects arrive whole, in any interleaving, or not at all.

#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by panicking, also in its helpers.

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use godwit_transfer::{
    CHUNK_LEN, Decoder, Event, Frame, FrameKind, Limits, MAX_FRAME_LEN, Message, ObjectEnd, ObjectStart,
    Party, Session,
};
use proptest::prelude::*;
use prost::Message as _;
use support::*;

#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(oneof = "Message", tags = "12, 13")]
    message: Option<Message>,
}

/// A control frame that no honest session would make.
fn forged(message: Message) -> Frame {
    let payload = Envelope {
        message: Some(message),
    }
    .encode_to_vec();
    Frame::new(FrameKind::Control, 0, payload.into())
}

fn start(id: u32, name: &str) -> ObjectStart {
    ObjectStart {
        id,
        kind: 1,
        container: "redis".to_owned(),
        name: name.to_owned(),
        size_hint: 0,
        mode: 0o600,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_interleaving_arrives(
        objects in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 1..400), 0..8), 1..10),
        order in prop::collection::vec(any::<prop::sample::Index>(), 200),
    ) {
        let mut pair = Pair::frozen(&["redis"]);
        let mut wire = Vec::new();
        let mut at: Vec<usize> = vec![0; objects.len()];
        let mut ids = vec![None; objects.len()];
        let mut ended = vec![false; objects.len()];
        let mut order = order.iter().cycle();
        while ended.iter().any(|ended| !ended) {
            let left: Vec<usize> = (0..objects.len()).filter(|one| !ended[*one]).collect();
            let one = left[order.next().unwrap().index(left.len())];
            let frame = match ids[one] {
                None => {
                    let name = format!("object-{one}.img");
                    let (id, frame) = pair.source.out.begin_object(&image("redis", &name)).unwrap();
                    ids[one] = Some(id);
                    frame
                }
                Some(id) if at[one] < objects[one].len() => {
                    at[one] += 1;
                    pair.source.out.chunk(id, objects[one][at[one] - 1].clone().into()).unwrap()
                }
                Some(id) => {
                    ended[one] = true;
                    pair.source.out.end_object(id).unwrap()
                }
            };
            wire.extend_from_slice(&frame.to_bytes());
        }
        let mut decoder = Decoder::new();
        let mut got: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        let mut complete = 0;
        for piece in wire.chunks(777) {
            decoder.push(piece);
            while let Some(frame) = decoder.next_frame().unwrap() {
                match pair.target.inb.receive(frame).unwrap() {
                    Event::ObjectStart { id, .. } => drop(got.insert(id.number(), Vec::new())),
                    Event::Chunk { id, data } => got.get_mut(&id.number()).unwrap().extend_from_slice(&data),
                    Event::ObjectEnd { id, len } => {
                        prop_assert_eq!(got[&id.number()].len() as u64, len);
                        complete += 1;
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
        prop_assert_eq!(complete, objects.len());
        for (one, object) in objects.iter().enumerate() {
            prop_assert_eq!(&got[&ids[one].unwrap().number()], &object.concat());
        }
    }
}

/// What arrives in place of three chunks that were sent; each frame is whole in itself.
#[test]
fn chunks_that_are_not_those_sent_are_found() {
    let other = |frame: &Frame, payload: &'static [u8]| Frame::new(frame.kind, frame.stream, payload.into());
    for (what, reason) in [
        ("as sent", ""),
        ("two exchanged", "ObjectDamaged"),
        ("one twice, one missing", "ObjectDamaged"),
        ("cut elsewhere", "ObjectDamaged"),
        ("other content", "ObjectDamaged"),
        ("one missing", "ObjectLength"),
        ("one twice", "ObjectLength"),
    ] {
        let mut pair = Pair::frozen(&["redis"]);
        let id = begin(&mut pair, &image("redis", "a.img"));
        let mut frames: Vec<Frame> = [&b"abc"[..], b"abd", b"xyz"]
            .into_iter()
            .map(|chunk| pair.source.out.chunk(id, chunk.into()).unwrap())
            .collect();
        match what {
            "two exchanged" => frames.swap(0, 1),
            "one twice, one missing" => frames[1] = frames[0].clone(),
            "cut elsewhere" => {
                frames[0] = other(&frames[0], b"ab");
                frames[1] = other(&frames[1], b"cabd");
            }
            "other content" => frames[2] = other(&frames[2], b"xyy"),
            "one missing" => drop(frames.remove(1)),
            "one twice" => frames.push(frames[0].clone()),
            _ => {}
        }
        for frame in frames {
            pair.target.inb.receive(frame).unwrap();
        }
        let end = pair.source.out.end_object(id).unwrap();
        let ended = pair.target.inb.receive(end);
        assert_eq!(
            ended.map_or_else(|error| error.reason(), |_| ""),
            reason,
            "{what}"
        );
    }
}

#[test]
fn forged_objects_are_refused() {
    let hidden = ObjectStart {
        container: "../x".to_owned(),
        ..start(2, "a.img")
    };
    let unnamed = ObjectStart {
        kind: 2,
        ..start(2, "a.img")
    };
    for (forged_start, reason) in [
        (start(2, "../../etc/passwd"), "ObjectName"),
        (start(2, ".."), "ObjectName"),
        (start(2, "/etc/passwd"), "ObjectName"),
        (start(2, "a\0b"), "ObjectName"),
        (start(2, &"a".repeat(200)), "ObjectName"),
        (unnamed, "ObjectName"),
        (
            ObjectStart {
                kind: 7,
                ..start(2, "scratch")
            },
            "ObjectContainer",
        ),
        (
            ObjectStart {
                kind: 7,
                container: String::new(),
                ..start(2, "../scratch")
            },
            "ObjectName",
        ),
        (
            ObjectStart {
                kind: 7,
                container: String::new(),
                ..start(2, "other")
            },
            "OutOfOrder",
        ),
        (hidden, "ObjectContainer"),
        (
            ObjectStart {
                mode: 0o4755,
                ..start(2, "a.img")
            },
            "ObjectMode",
        ),
        (
            ObjectStart {
                kind: 77,
                ..start(2, "a.img")
            },
            "ObjectKind",
        ),
        (start(0, "a.img"), "ObjectId"),
        (start(1, "a.img"), "ObjectNumbering"),
        (start(3, "a.img"), "ObjectNumbering"),
        (
            ObjectStart {
                container: "other".to_owned(),
                ..start(2, "a.img")
            },
            "OutOfOrder",
        ),
    ] {
        // Object 1 was the base copy.
        let mut pair = Pair::frozen(&["redis"]);
        let error = pair
            .target
            .inb
            .receive(forged(Message::ObjectStart(forged_start.clone())))
            .unwrap_err();
        assert_eq!(error.reason(), reason, "{forged_start:?}");
    }
    let mut pair = Pair::frozen(&["redis"]);
    pair.target
        .inb
        .receive(forged(Message::ObjectStart(start(2, "a.img"))))
        .unwrap();
    let again = pair
        .target
        .inb
        .receive(forged(Message::ObjectStart(start(3, "a.img"))));
    assert_eq!(again.unwrap_err().reason(), "DuplicateObject");
}

#[test]
fn a_receiver_sets_bounds() {
    let tight = Limits {
        open_objects: 2,
        objects: 3,
        object_bytes: 10,
        session_bytes: 15,
    };
    let fresh = || {
        let mut pair = Pair::new();
        let (out, inb) = Session::new(Party::Acceptor, tight).split();
        pair.target = End { out, inb };
        pair.source_says(&hello(godwit_transfer::Role::Migrate)).unwrap();
        pair.target_says(&welcome()).unwrap();
        pair.source_says(&manifest(&["redis"])).unwrap();
        pair.target_says(&Message::ManifestOk(godwit_transfer::Agreed::default()))
            .unwrap();
        pair.source_says(&Message::EndParking(EMPTY)).unwrap();
        pair.target_says(&Message::Parked(container("redis"))).unwrap();
        pair.source_says(&Message::Frozen(EMPTY)).unwrap();
        pair
    };
    let mut pair = fresh();
    begin(&mut pair, &image("redis", "1"));
    begin(&mut pair, &image("redis", "2"));
    let (_, third) = pair.source.out.begin_object(&image("redis", "3")).unwrap();
    assert_eq!(
        pair.target.inb.receive(third).unwrap_err().reason(),
        "TooManyOpenObjects"
    );

    let mut pair = fresh();
    for name in ["1", "2", "3"] {
        pair.object(&image("redis", name), b"x").unwrap();
    }
    assert_eq!(
        pair.object(&image("redis", "4"), b"x").unwrap_err().reason(),
        "TooManyObjects"
    );

    let mut pair = fresh();
    assert_eq!(
        pair.object(&image("redis", "1"), &[0; 11]).unwrap_err().reason(),
        "ObjectTooLong"
    );

    let mut pair = fresh();
    pair.object(&image("redis", "1"), &[0; 10]).unwrap();
    assert_eq!(
        pair.object(&image("redis", "2"), &[0; 10]).unwrap_err().reason(),
        "SessionTooLong"
    );
}

#[test]
fn senders_own_mistakes_are_told() {
    let mut pair = Pair::frozen(&["redis"]);
    let id = begin(&mut pair, &image("redis", "a.img"));
    let out = &mut pair.source.out;
    assert_eq!(out.chunk(id, Bytes::new()).unwrap_err().reason(), "ChunkLength");
    assert_eq!(
        out.chunk(id, vec![0; MAX_FRAME_LEN + 1].into())
            .unwrap_err()
            .reason(),
        "ChunkLength"
    );
    out.chunk(id, vec![0; CHUNK_LEN].into()).unwrap();
    out.end_object(id).unwrap();
    assert_eq!(
        out.chunk(id, vec![0].into()).unwrap_err().reason(),
        "ObjectNotOpen"
    );
    assert_eq!(out.end_object(id).unwrap_err().reason(), "ObjectNotOpen");
    let by_hand = Message::ObjectEnd(ObjectEnd {
        id: 1,
        len: 0,
        checks: vec![0; 32],
    });
    assert_eq!(out.send(&by_hand).unwrap_err().reason(), "ObjectMessageByHand");
}
