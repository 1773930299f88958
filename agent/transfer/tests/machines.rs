//! Two machines that say whatever they may, over a link that delays, never disagree; and what they accept is a migration.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by panicking, also in its helpers.

mod support;

use std::collections::VecDeque;

use godwit_transfer::{Event, Frame, Message, Nonce, ObjectId, Party, Pass, Refuse, RestoreFailed, Role};
use proptest::prelude::*;
use support::*;

/// Something that a party might try at any time.
#[derive(Clone, Debug)]
enum Attempt {
    Say(usize),
    Begin(usize),
    Chunk(u8),
    End(u8),
    Deliver,
}

fn attempts() -> impl Strategy<Value = Vec<(bool, Attempt)>> {
    let attempt = prop_oneof![
        6 => (0..30_usize).prop_map(Attempt::Say),
        1 => (0..10_usize).prop_map(Attempt::Begin),
        1 => (1..5_u8).prop_map(Attempt::Chunk),
        2 => (1..5_u8).prop_map(Attempt::End),
        5 => Just(Attempt::Deliver),
    ];
    prop::collection::vec((any::<bool>(), attempt), 0..900)
}

fn sayings() -> Vec<Message> {
    let mut all = vec![
        hello(Role::Migrate),
        welcome(),
        manifest(&["redis", "side"]),
        Message::ManifestOk(godwit_transfer::Agreed::default()),
        Message::EndParking(EMPTY),
        Message::SpawnReady(EMPTY),
        Message::Frozen(EMPTY),
        Message::Prepared(EMPTY),
        committed(),
        running(),
        Message::Released(EMPTY),
        Message::Ping(Nonce { nonce: 1 }),
        Message::Pong(Nonce { nonce: 1 }),
        Message::VerdictRequest(EMPTY),
        Message::CarryOk(EMPTY),
    ];
    for name in ["redis", "side"] {
        all.push(Message::Parked(container(name)));
        all.push(Message::ImagesComplete(container(name)));
        all.push(Message::FilesComplete(container(name)));
        all.push(restored(name));
    }
    // Rare ends: the later in the list, the rarer they are picked.
    all.push(Message::RestoreFailed(RestoreFailed::new(
        "side",
        "CriuFailed",
        "no",
    )));
    all.push(Message::Refuse(Refuse::new("Busy", "later")));
    all.push(abort());
    all.push(Message::AbortOk(EMPTY));
    all
}

fn objects() -> Vec<godwit_transfer::ObjectSpec> {
    vec![
        image("redis", "a.img"),
        image("side", "a.img"),
        files(Some("redis"), Pass::Base),
        files(Some("side"), Pass::Delta),
        files(None, Pass::Delta),
        files(Some("redis"), Pass::Delta),
        image("other", "a.img"),
        log("redis", 1),
        log("side", 1),
        log("redis", 2),
    ]
}

struct Link {
    pair: Pair,
    to: [VecDeque<Frame>; 2],
    /// What each side has heard, in order.
    heard: [Vec<Message>; 2],
    said: [Vec<Message>; 2],
    open: Vec<ObjectId>,
    begun: Vec<usize>,
}

fn index(party: Party) -> usize {
    usize::from(party == Party::Acceptor)
}

impl Link {
    fn attempt(&mut self, party: Party, attempt: &Attempt) {
        let own = index(party);
        let end = if party == Party::Dialer {
            &mut self.pair.source
        } else {
            &mut self.pair.target
        };
        let frame = match attempt {
            Attempt::Say(which) => {
                let all = sayings();
                let message = &all[which % all.len()];
                let frame = end.out.send(message).ok();
                if frame.is_some() {
                    self.said[own].push(message.clone());
                }
                frame
            }
            Attempt::Begin(which) if !self.begun.contains(which) => {
                end.out.begin_object(&objects()[*which]).ok().map(|(id, frame)| {
                    self.open.push(id);
                    self.begun.push(*which);
                    frame
                })
            }
            Attempt::Begin(_) => None,
            Attempt::Chunk(nth) => {
                let id = self.open.get(usize::from(*nth) % self.open.len().max(1)).copied();
                id.and_then(|id| end.out.chunk(id, vec![*nth; 3].into()).ok())
            }
            Attempt::End(nth) => {
                let at = usize::from(*nth) % self.open.len().max(1);
                let frame = self.open.get(at).and_then(|id| end.out.end_object(*id).ok());
                if frame.is_some() {
                    self.open.remove(at);
                }
                frame
            }
            Attempt::Deliver => {
                if let Some(frame) = self.to[own].pop_front() {
                    // The heart of this test: what one side may say, the other must accept, whatever crossed it.
                    match end.inb.receive(frame) {
                        Ok(Event::Message(message)) => self.heard[own].push(message),
                        Ok(_) => {}
                        Err(error) => panic!("{party:?} refused what its peer was allowed to say: {error:?}"),
                    }
                }
                None
            }
        };
        if let Some(frame) = frame {
            self.to[index(party.other())].push_back(frame);
        }
    }
}

fn position(messages: &[Message], name: &str) -> Option<usize> {
    messages.iter().position(|message| message.name() == name)
}

fn has(messages: &[Message], name: &str) -> bool {
    position(messages, name).is_some()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn what_one_may_say_the_other_accepts(start in 0..5_u8, attempts in attempts()) {
        let pair = match start {
            0 => Pair::new(),
            1 => Pair::agreed(&["redis", "side"]),
            2 | 3 => Pair::frozen(&["redis", "side"]),
            _ => Pair::prepared(&["redis", "side"]),
        };
        let begun = if start == 0 { vec![] } else { vec![2] };
        let mut link = Link {
            pair,
            to: Default::default(),
            heard: Default::default(),
            said: Default::default(),
            open: vec![],
            begun,
        };
        for (target, attempt) in &attempts {
            let party = if *target { Party::Acceptor } else { Party::Dialer };
            link.attempt(party, attempt);
        }
        for _ in 0..2000 {
            link.attempt(Party::Dialer, &Attempt::Deliver);
            link.attempt(Party::Acceptor, &Attempt::Deliver);
        }
        let [source, target] = &link.said;
        let [heard_by_source, heard_by_target] = &link.heard;
        // Never two: a source that has decided has heard Prepared and never agrees to an abort; nor the reverse.
        if has(source, "Committed") {
            prop_assert!(start == 4 || has(heard_by_source, "Prepared"));
            prop_assert!(!has(source, "Abort") && !has(source, "AbortOk"));
            prop_assert!(has(heard_by_target, "Committed"), "the decision reaches the target, whatever it asked for");
        }
        if has(source, "AbortOk") || has(source, "Abort") {
            prop_assert!(!has(source, "Committed"));
        }
        // The target runs only on the decision.
        if has(target, "Running") {
            prop_assert!(has(heard_by_target, "Committed"));
        }
        if start < 4 && has(target, "Prepared") {
            let said = |name| target.contains(&restored(name));
            prop_assert!(said("redis") && said("side"));
            prop_assert!(position(target, "Restored") < position(target, "Prepared"));
            prop_assert!(!has(target, "RestoreFailed"));
        }
        for said in [source, target] {
            for once in ["Hello", "Welcome", "Manifest", "EndParking", "Frozen", "Prepared", "Committed", "Released", "Abort"] {
                prop_assert!(said.iter().filter(|message| message.name() == once).count() <= 1, "{once} twice");
            }
        }
    }
}

#[test]
fn random_runs_reach_the_end() {
    // Without this, the property above could hold because nothing ever happens.
    let all = sayings();
    let mut reached = std::collections::BTreeSet::new();
    for seed in 0..40_u64 {
        let mut link = Link {
            pair: Pair::new(),
            to: Default::default(),
            heard: Default::default(),
            said: Default::default(),
            open: vec![],
            begun: vec![],
        };
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for _ in 0..20_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let party = if state & 1 == 0 {
                Party::Dialer
            } else {
                Party::Acceptor
            };
            let pick = usize::try_from((state >> 8) % 1000).unwrap();
            let attempt = match (state >> 40) % 10 {
                0..=4 => {
                    let which = pick % all.len();
                    let ends = matches!(
                        all[which],
                        Message::Abort(_) | Message::Refuse(_) | Message::RestoreFailed(_)
                    );
                    if ends && pick != 7 {
                        Attempt::Deliver
                    } else {
                        Attempt::Say(which)
                    }
                }
                5 => Attempt::Begin(pick % 10),
                6 => Attempt::Chunk(u8::try_from(pick % 4).unwrap() + 1),
                7 => Attempt::End(u8::try_from(pick % 4).unwrap() + 1),
                _ => Attempt::Deliver,
            };
            link.attempt(party, &attempt);
        }
        reached.extend(link.heard.iter().flatten().map(Message::name));
    }
    for name in ["Frozen", "Prepared", "Committed", "Running", "Released"] {
        assert!(reached.contains(name), "{name} was never reached: {reached:?}");
    }
}
