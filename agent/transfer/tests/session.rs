//! A migration from Hello to Released, and what is not legal on the way.

#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by panicking, also in its helpers.

mod support;

use godwit_transfer::{
    CarryEnded, CarryMove, Event, Message, Nonce, ObjectKind, ObjectSpec, Party, Pass, Refuse, Role, Verdict,
    VerdictAnswer,
};
use support::*;

fn heard(event: &Event, name: &str) {
    match event {
        Event::Message(message) => assert_eq!(message.name(), name),
        other => panic!("{name} expected, {other:?} came"),
    }
}

#[test]
fn a_migration_goes_through() {
    let mut pair = Pair::prepared(&["redis", "side"]);
    heard(&pair.source_says(&committed()).unwrap(), "Committed");
    heard(&pair.target_says(&running()).unwrap(), "Running");
    assert!(!pair.target.inb.is_over());
    heard(&pair.source_says(&Message::Released(EMPTY)).unwrap(), "Released");
    assert!(pair.target.inb.is_over() && pair.source.inb.is_over());
    assert!(pair.source.out.object_bytes() > 10_000);
    assert_eq!(pair.source.out.object_bytes(), pair.target.inb.object_bytes());
}

#[test]
fn the_decision_needs_every_container() {
    let mut pair = Pair::frozen(&["redis", "side"]);
    assert_eq!(
        pair.source.out.send(&committed()).unwrap_err().reason(),
        "OutOfOrder"
    );
    assert_eq!(
        pair.target
            .out
            .send(&Message::Prepared(EMPTY))
            .unwrap_err()
            .reason(),
        "OutOfOrder"
    );
    assert_eq!(
        pair.target.out.send(&restored("redis")).unwrap_err().reason(),
        "OutOfOrder"
    );
    pair.source_says(&Message::ImagesComplete(container("redis")))
        .unwrap();
    pair.source_says(&Message::FilesComplete(container("redis")))
        .unwrap();
    pair.target_says(&restored("redis")).unwrap();
    assert!(
        pair.target.out.send(&Message::Prepared(EMPTY)).is_err(),
        "side is not restored"
    );
}

#[test]
fn a_receiver_knows_the_rules_too() {
    // A peer that breaks its own rules: frames made by sessions at other stages.
    let frame = Pair::prepared(&["redis"]).source.out.send(&committed()).unwrap();
    let mut pair = Pair::frozen(&["redis"]);
    let error = pair.target.inb.receive(frame).unwrap_err();
    assert_eq!(error.reason(), "OutOfOrder");
    let next = pair
        .source
        .out
        .send(&Message::ImagesComplete(container("redis")))
        .unwrap();
    assert_eq!(
        pair.target.inb.receive(next).unwrap_err().reason(),
        "SessionFailed"
    );
    assert_eq!(
        pair.target.out.send(&abort()).unwrap_err().reason(),
        "SessionFailed"
    );
}

#[test]
fn each_side_keeps_to_its_own_messages() {
    let mut pair = Pair::frozen(&["redis"]);
    for message in [
        Message::Parked(container("redis")),
        Message::Prepared(EMPTY),
        running(),
        welcome(),
    ] {
        assert!(pair.source.out.send(&message).is_err(), "{}", message.name());
    }
    for message in [
        manifest(&["redis"]),
        Message::Frozen(EMPTY),
        committed(),
        hello(Role::Migrate),
    ] {
        assert!(pair.target.out.send(&message).is_err(), "{}", message.name());
    }
    assert!(pair.target.out.begin_object(&image("redis", "x.img")).is_err());
    assert_eq!(
        pair.target.inb.receive(data(9, b"x")).unwrap_err().reason(),
        "ObjectNotOpen"
    );
    assert_eq!(
        pair.source.inb.receive(data(1, b"x")).unwrap_err().reason(),
        "OutOfOrder"
    );
}

#[test]
fn nothing_comes_before_hello_and_welcome() {
    let mut pair = Pair::new();
    assert!(pair.source.out.send(&manifest(&["redis"])).is_err());
    assert!(pair.source.out.send(&Message::Ping(Nonce { nonce: 1 })).is_err());
    assert!(pair.source.out.send(&abort()).is_err());
    assert!(pair.target.out.send(&welcome()).is_err());
    pair.source_says(&hello(Role::Migrate)).unwrap();
    assert!(pair.source.out.send(&hello(Role::Migrate)).is_err());
    assert!(pair.source.out.send(&manifest(&["redis"])).is_err());
    let other = Message::Welcome(godwit_transfer::Welcome { version: 9 });
    assert!(
        pair.target.out.send(&other).is_err(),
        "a version that was not offered"
    );
}

#[test]
fn objects_have_their_time() {
    let mut pair = Pair::agreed(&["redis"]);
    let early = pair.source.out.begin_object(&image("redis", "pages-1.img"));
    assert_eq!(early.unwrap_err().reason(), "OutOfOrder");
    assert!(
        pair.source
            .out
            .begin_object(&files(Some("other"), Pass::Base))
            .is_err(),
        "not in the manifest"
    );
    let descriptors = ObjectSpec::new(ObjectKind::Descriptors {
        container: "redis".to_owned(),
    });
    pair.object(&descriptors, b"[]").unwrap();
    pair.source_says(&Message::SpawnReady(EMPTY)).unwrap();
    assert!(pair.source.out.begin_object(&descriptors).is_err());

    let mut pair = Pair::frozen(&["redis"]);
    assert!(
        pair.source.out.begin_object(&files(None, Pass::Base)).is_err(),
        "the base copy is over"
    );
    let shm = begin(&mut pair, &files(None, Pass::Delta));
    let pages = begin(&mut pair, &image("redis", "pages-1.img"));
    assert!(
        pair.source
            .out
            .send(&Message::ImagesComplete(container("redis")))
            .is_err(),
        "pages are open"
    );
    let frame = pair.source.out.end_object(pages).unwrap();
    pair.target.inb.receive(frame).unwrap();
    pair.source_says(&Message::ImagesComplete(container("redis")))
        .unwrap();
    assert!(
        pair.source.out.begin_object(&image("redis", "more.img")).is_err(),
        "declared complete"
    );
    assert!(
        pair.source
            .out
            .send(&Message::FilesComplete(container("redis")))
            .is_err(),
        "the pod's shm is open"
    );
    let frame = pair.source.out.end_object(shm).unwrap();
    pair.target.inb.receive(frame).unwrap();
    pair.source_says(&Message::FilesComplete(container("redis")))
        .unwrap();
    assert!(
        pair.source.out.begin_object(&files(None, Pass::Delta)).is_err(),
        "everything is complete"
    );
}

#[test]
fn volumes_come_in_passes_and_before_the_files_of_any_container_are_complete() {
    let mut pair = Pair::agreed(&["app", "side"]);
    assert!(
        pair.source
            .out
            .begin_object(&volume("other", Pass::Base))
            .is_err(),
        "not in the manifest"
    );
    assert!(
        pair.source
            .out
            .begin_object(&volume(VOLUME, Pass::Delta))
            .is_err(),
        "nothing is frozen"
    );
    // Rounds of the copy follow one another.
    pair.object(&volume(VOLUME, Pass::Base), b"base").unwrap();
    let second = begin(&mut pair, &volume(VOLUME, Pass::Base));
    assert!(pair.source.out.begin_object(&volume(VOLUME, Pass::Base)).is_err());
    let frame = pair.source.out.end_object(second).unwrap();
    pair.target.inb.receive(frame).unwrap();

    let mut pair = Pair::frozen(&["app", "side"]);
    assert!(pair.source.out.begin_object(&volume(VOLUME, Pass::Base)).is_err());
    let changes = begin(&mut pair, &volume(VOLUME, Pass::Delta));
    let complete = Message::FilesComplete(container("app"));
    assert!(pair.source.out.send(&complete).is_err(), "the volume is open");
    let frame = pair.source.out.end_object(changes).unwrap();
    pair.target.inb.receive(frame).unwrap();
    // The changes are sent once.
    let (_, again) = pair
        .source
        .out
        .begin_object(&volume(VOLUME, Pass::Delta))
        .unwrap();
    assert_eq!(
        pair.target.inb.receive(again).unwrap_err().reason(),
        "DuplicateObject"
    );

    let mut pair = Pair::frozen(&["app", "side"]);
    pair.source_says(&complete).unwrap();
    let late = pair.source.out.begin_object(&volume(VOLUME, Pass::Delta));
    assert!(late.is_err(), "a container may have been restored");
}

#[test]
fn volumes_of_a_manifest_are_names() {
    for bad in [&["../etc"][..], &[""], &["a.b"], &["a", "a"]] {
        let Message::Manifest(manifest) = manifest(&["app"]) else {
            unreachable!()
        };
        let volumes = bad.iter().map(|&name| name.to_owned()).collect();
        let mut pair = Pair::new();
        pair.source_says(&hello(Role::Migrate)).unwrap();
        pair.target_says(&welcome()).unwrap();
        let said = Message::Manifest(godwit_transfer::Manifest { volumes, ..manifest });
        assert!(pair.source.out.send(&said).is_err(), "{bad:?}");
    }
}

#[test]
fn rounds_of_pages_follow_one_another_before_and_in_the_freeze() {
    let pages = |round| {
        ObjectSpec::new(ObjectKind::Pages {
            container: "redis".to_owned(),
            round,
        })
    };
    let mut pair = Pair::agreed(&["redis"]);
    pair.object(&pages(1), b"batch").unwrap();
    let second = begin(&mut pair, &pages(2));
    let error = pair.source.out.begin_object(&pages(3)).unwrap_err();
    assert!(error.to_string().contains("round before"), "{error}");
    let frame = pair.source.out.end_object(second).unwrap();
    pair.target.inb.receive(frame).unwrap();

    let mut pair = Pair::frozen(&["redis"]);
    pair.object(&pages(3), b"batch").unwrap();
    let fourth = begin(&mut pair, &pages(4));
    let complete = Message::ImagesComplete(container("redis"));
    assert!(pair.source.out.send(&complete).is_err(), "pages are open");
    let frame = pair.source.out.end_object(fourth).unwrap();
    pair.target.inb.receive(frame).unwrap();
    pair.source_says(&complete).unwrap();
    assert!(
        pair.source.out.begin_object(&pages(5)).is_err(),
        "declared complete"
    );
}

#[test]
fn a_log_travels_until_the_decision_and_holds_up_nothing_else() {
    let mut pair = Pair::agreed(&["redis"]);
    pair.object(&log("redis", 1), b"line\n").unwrap();
    assert!(
        pair.source.out.begin_object(&log("other", 1)).is_err(),
        "not in the manifest"
    );
    let second = begin(&mut pair, &log("redis", 2));
    let error = pair.source.out.begin_object(&log("redis", 3)).unwrap_err();
    assert!(error.to_string().contains("pass before"), "{error}");
    let frame = pair.source.out.end_object(second).unwrap();
    pair.target.inb.receive(frame).unwrap();

    let mut pair = Pair::frozen(&["redis"]);
    let third = begin(&mut pair, &log("redis", 3));
    for complete in [Message::ImagesComplete, Message::FilesComplete] {
        pair.source_says(&complete(container("redis"))).unwrap();
    }
    let frame = pair.source.out.end_object(third).unwrap();
    pair.target.inb.receive(frame).unwrap();

    let mut pair = Pair::prepared(&["redis"]);
    let last = begin(&mut pair, &log("redis", 4));
    pair.source_says(&committed()).unwrap();
    let frame = pair.source.out.end_object(last).unwrap();
    pair.target.inb.receive(frame).unwrap();
    let late = pair.source.out.begin_object(&log("redis", 5));
    assert_eq!(late.unwrap_err().reason(), "OutOfOrder");
}

#[test]
fn either_side_may_abort() {
    for source_aborts in [true, false] {
        let mut pair = Pair::frozen(&["redis"]);
        let pages = begin(&mut pair, &image("redis", "pages-1.img"));
        // These are under way when the abort is said.
        let chunk = pair.source.out.chunk(pages, vec![1; 10].into()).unwrap();
        if source_aborts {
            pair.target.inb.receive(chunk).unwrap();
            heard(&pair.source_says(&abort()).unwrap(), "Abort");
            assert_eq!(
                pair.source.out.chunk(pages, vec![1].into()).unwrap_err().reason(),
                "Aborting"
            );
            assert_eq!(
                pair.target
                    .out
                    .send(&Message::Prepared(EMPTY))
                    .unwrap_err()
                    .reason(),
                "PeerAborted"
            );
            heard(&pair.target_says(&Message::AbortOk(EMPTY)).unwrap(), "AbortOk");
        } else {
            let said = pair.target.out.send(&abort()).unwrap();
            assert_eq!(pair.target.inb.receive(chunk), Ok(Event::Ignored));
            heard(&pair.source.inb.receive(said).unwrap(), "Abort");
            assert_eq!(
                pair.source.out.chunk(pages, vec![1].into()).unwrap_err().reason(),
                "PeerAborted"
            );
            heard(&pair.source_says(&Message::AbortOk(EMPTY)).unwrap(), "AbortOk");
        }
        assert!(pair.source.inb.is_over() && pair.target.inb.is_over());
        assert!(pair.source.out.send(&Message::AbortOk(EMPTY)).is_err());
    }
}

#[test]
fn aborts_may_cross() {
    let mut pair = Pair::frozen(&["redis"]);
    let from_source = pair.source.out.send(&abort()).unwrap();
    let from_target = pair.target.out.send(&abort()).unwrap();
    heard(&pair.source.inb.receive(from_target).unwrap(), "Abort");
    heard(&pair.target.inb.receive(from_source).unwrap(), "Abort");
    pair.source_says(&Message::AbortOk(EMPTY)).unwrap();
    assert!(!pair.source.inb.is_over());
    pair.target_says(&Message::AbortOk(EMPTY)).unwrap();
    assert!(pair.source.inb.is_over() && pair.target.inb.is_over());
}

#[test]
fn a_decision_beats_a_request_to_abort_that_crosses_it() {
    let mut pair = Pair::prepared(&["redis"]);
    let request = pair.target.out.send(&abort()).unwrap();
    let decision = pair.source.out.send(&committed()).unwrap();
    assert_eq!(pair.source.inb.receive(request), Ok(Event::Ignored));
    heard(&pair.target.inb.receive(decision).unwrap(), "Committed");
    pair.target_says(&running()).unwrap();
    pair.source_says(&Message::Released(EMPTY)).unwrap();
}

#[test]
fn a_source_that_has_decided_answers_a_request_with_the_decision() {
    // The journal says COMMITTED, the message is not out yet, and the target's request comes in.
    let mut pair = Pair::prepared(&["redis"]);
    pair.target_says(&abort()).unwrap();
    heard(&pair.source_says(&committed()).unwrap(), "Committed");
    pair.target_says(&running()).unwrap();
    pair.source_says(&Message::Released(EMPTY)).unwrap();
    assert!(pair.target.inb.is_over());
}

#[test]
fn a_source_that_agreed_to_abort_cannot_commit() {
    let mut pair = Pair::prepared(&["redis"]);
    pair.target_says(&abort()).unwrap();
    pair.source_says(&Message::AbortOk(EMPTY)).unwrap();
    assert!(pair.source.out.send(&committed()).is_err());

    let mut pair = Pair::prepared(&["redis"]);
    pair.source_says(&abort()).unwrap();
    assert_eq!(
        pair.source.out.send(&committed()).unwrap_err().reason(),
        "Aborting"
    );
}

#[test]
fn after_the_decision_nobody_aborts() {
    let mut pair = Pair::prepared(&["redis"]);
    pair.source_says(&committed()).unwrap();
    assert_eq!(pair.source.out.send(&abort()).unwrap_err().reason(), "OutOfOrder");
    assert_eq!(pair.target.out.send(&abort()).unwrap_err().reason(), "OutOfOrder");
}

#[test]
fn a_refusal_ends_a_session() {
    let refuse = Message::Refuse(Refuse::new("UnknownMigration", "ask again"));
    let mut pair = Pair::new();
    pair.source_says(&hello(Role::Migrate)).unwrap();
    heard(&pair.target_says(&refuse).unwrap(), "Refuse");
    assert!(pair.source.inb.is_over() && pair.target.inb.is_over());

    let mut pair = Pair::agreed(&["redis"]);
    assert!(pair.target.out.send(&refuse).is_err(), "too late to refuse");
    assert!(pair.source.out.send(&refuse).is_err());

    // The refusal of a manifest crosses the source's abort.
    let mut pair = Pair::new();
    pair.source_says(&hello(Role::Migrate)).unwrap();
    pair.target_says(&welcome()).unwrap();
    pair.source_says(&manifest(&["redis"])).unwrap();
    let refusal = pair.target.out.send(&refuse).unwrap();
    let aborting = pair.source.out.send(&abort()).unwrap();
    heard(&pair.source.inb.receive(refusal).unwrap(), "Refuse");
    assert_eq!(pair.target.inb.receive(aborting), Ok(Event::Ignored));
    assert!(pair.source.inb.is_over());
}

#[test]
fn a_verdict_is_asked_for() {
    let answer = |verdict: VerdictAnswer| {
        Message::Verdict(Verdict {
            verdict: verdict.into(),
        })
    };
    let mut pair = Pair::new();
    pair.source_says(&hello(Role::AskVerdict)).unwrap();
    pair.target_says(&welcome()).unwrap();
    assert!(
        pair.target.out.send(&answer(VerdictAnswer::Committed)).is_err(),
        "nobody asked"
    );
    for verdict in [VerdictAnswer::Undecided, VerdictAnswer::Committed] {
        pair.source_says(&Message::VerdictRequest(EMPTY)).unwrap();
        assert!(pair.source.out.send(&Message::VerdictRequest(EMPTY)).is_err());
        assert_eq!(
            pair.target_says(&answer(verdict)).unwrap(),
            Event::Message(answer(verdict))
        );
    }
    assert!(pair.target.out.send(&answer(VerdictAnswer::Unspecified)).is_err());
    assert!(pair.source.out.send(&manifest(&["redis"])).is_err());
    assert!(pair.source.out.send(&abort()).is_err());
}

#[test]
fn carried_addresses_are_told_of() {
    let moved = Message::CarryMove(CarryMove {
        address: "10.0.0.7".to_owned(),
        new_node: "n3".to_owned(),
        new_address: "192.0.2.3".to_owned(),
    });
    let ended = Message::CarryEnded(CarryEnded {
        address: "fd00::7".to_owned(),
    });
    let mut pair = Pair::new();
    pair.source_says(&hello(Role::Carry)).unwrap();
    pair.target_says(&welcome()).unwrap();
    for message in [moved, ended] {
        pair.source_says(&message).unwrap();
        pair.target_says(&Message::CarryOk(EMPTY)).unwrap();
    }
    assert!(pair.target.out.send(&Message::CarryOk(EMPTY)).is_err());
    let nowhere = Message::CarryEnded(CarryEnded {
        address: "localhost".to_owned(),
    });
    assert_eq!(
        pair.source.out.send(&nowhere).unwrap_err().reason(),
        "MessageField"
    );
}

#[test]
fn pings_are_answered_and_bounded() {
    let ping = Message::Ping(Nonce { nonce: 5 });
    let answer = Message::Pong(Nonce { nonce: 5 });
    let mut pair = Pair::agreed(&["redis"]);
    assert!(pair.target.out.send(&answer).is_err());
    pair.source_says(&ping).unwrap();
    pair.target_says(&answer).unwrap();
    let mut sent = 0;
    while pair.source.out.send(&ping).is_ok() {
        sent += 1;
        assert!(sent < 1000, "pings have no bound");
    }
    assert!(sent > 1);
}

#[test]
fn both_sides_name_the_same_rule() {
    let mut pair = Pair::agreed(&["redis"]);
    let error = pair.source.out.send(&Message::Frozen(EMPTY)).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("Frozen") && text.contains("no container is parked"),
        "{text}"
    );
    assert!(matches!(
        error,
        godwit_transfer::SessionError::OutOfOrder {
            from: Party::Dialer,
            ..
        }
    ));
}

#[test]
fn a_peer_that_goes_on_after_its_abort_is_found() {
    let late = || {
        Pair::frozen(&["redis"])
            .source
            .out
            .send(&Message::ImagesComplete(container("redis")))
            .unwrap()
    };
    let mut pair = Pair::frozen(&["redis"]);
    pair.source_says(&abort()).unwrap();
    assert_eq!(
        pair.target.inb.receive(late()).unwrap_err().reason(),
        "OutOfOrder"
    );

    // After both have agreed nothing counts any more, a decision least of all.
    let mut pair = Pair::prepared(&["redis"]);
    let decision = Pair::prepared(&["redis"]).source.out.send(&committed()).unwrap();
    pair.target_says(&abort()).unwrap();
    pair.source_says(&Message::AbortOk(EMPTY)).unwrap();
    assert_eq!(pair.target.inb.receive(decision), Ok(Event::Ignored));
}
