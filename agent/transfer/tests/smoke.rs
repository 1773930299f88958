//! What the fuzz target does, on a fixed set of inputs: an honest stream and thousands of damaged ones.
#![allow(clippy::unwrap_used)] // A test fails by panicking, also in its helpers.

#[path = "support/drive.rs"]
mod drive;
mod support;

use drive::drive;
use godwit_transfer::{Frame, Hello, Limits, Message, Nonce, Outbound, Party, Pass, Role, Session};
use support::{EMPTY, container, files, image, manifest};

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

fn dialer() -> (Outbound, godwit_transfer::Inbound) {
    Session::new(Party::Dialer, Limits::default()).split()
}

/// What a source says in a migration whose target answers as [`drive`] does.
fn honest() -> Vec<Frame> {
    let (mut out, mut inbound) = dialer();
    let (mut peer, mut peer_in) = Session::new(Party::Acceptor, Limits::default()).split();
    let mut frames = Vec::new();
    let mut say = |out: &mut Outbound, message: &Message, answer: Option<Message>| {
        let frame = out.send(message).unwrap();
        peer_in.receive(frame.clone()).unwrap();
        frames.push(frame);
        if let Some(answer) = answer {
            inbound.receive(peer.send(&answer).unwrap()).unwrap();
        }
    };
    let welcome = Message::Welcome(godwit_transfer::Welcome { version: 1 });
    say(
        &mut out,
        &Message::Hello(Hello::new(Role::Migrate, "m", "n")),
        Some(welcome),
    );
    say(
        &mut out,
        &manifest(&["a"]),
        Some(Message::ManifestOk(godwit_transfer::Agreed::default())),
    );
    say(
        &mut out,
        &Message::Ping(Nonce { nonce: 3 }),
        Some(Message::Pong(Nonce { nonce: 3 })),
    );
    say(
        &mut out,
        &Message::EndParking(EMPTY),
        Some(Message::Parked(container("a"))),
    );
    say(&mut out, &Message::Frozen(EMPTY), None);
    for spec in [image("a", "pages-1.img"), files(Some("a"), Pass::Delta)] {
        let (id, start) = out.begin_object(&spec).unwrap();
        frames.push(start);
        for at in 0..3_u8 {
            frames.push(out.chunk(id, vec![at; 500].into()).unwrap());
        }
        frames.push(out.end_object(id).unwrap());
    }
    frames.push(out.send(&Message::ImagesComplete(container("a"))).unwrap());
    frames.push(out.send(&Message::FilesComplete(container("a"))).unwrap());
    frames.push(out.send(&support::abort()).unwrap());
    frames
}

fn input(stage: u8, cut: u8, flags: u8, frames: &[Frame]) -> Vec<u8> {
    let mut bytes = vec![stage, cut, flags];
    for frame in frames {
        bytes.extend_from_slice(&frame.to_bytes());
    }
    bytes
}

#[test]
fn an_honest_stream_is_taken_whole() {
    let frames = honest();
    for cut in [0, 1, 7, 255] {
        assert_eq!(drive(&input(0, cut, 0, &frames)), (frames.len(), frames.len()));
    }
}

#[test]
fn damaged_streams_never_panic() {
    let frames = honest();
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    let mut stopped = 0;
    for _ in 0..30_000 {
        let mut damaged = frames.clone();
        match numbers.below(5) {
            // Frames that are sound but out of order: only the session can tell.
            0 => damaged.swap(numbers.below(frames.len()), numbers.below(frames.len())),
            1 => drop(damaged.remove(numbers.below(frames.len()))),
            2 => damaged.insert(
                numbers.below(frames.len()),
                frames[numbers.below(frames.len())].clone(),
            ),
            3 => {
                let at = numbers.below(frames.len());
                let mut payload = damaged[at].payload.to_vec();
                let byte = numbers.below(payload.len());
                payload[byte] ^= 1 << numbers.below(8);
                damaged[at].payload = payload.into();
            }
            _ => {
                let at = numbers.below(frames.len());
                damaged[at].stream = u32::try_from(numbers.below(4)).unwrap();
            }
        }
        let [stage, cut, flags] = [numbers.below(10), numbers.below(256), numbers.below(16)];
        let stage = if numbers.below(2) == 0 { 0 } else { stage };
        let flags = if stage == 0 { 0 } else { flags };
        let mut bytes = input(
            u8::try_from(stage).unwrap(),
            u8::try_from(cut).unwrap(),
            u8::try_from(flags).unwrap(),
            &damaged,
        );
        if numbers.below(4) == 0 {
            let at = 3 + numbers.below(bytes.len() - 3);
            bytes[at] = bytes[at].wrapping_add(1);
        }
        let (got, _) = drive(&bytes);
        stopped += usize::from(got < damaged.len());
    }
    assert!(stopped > 15_000, "damage went unnoticed: {stopped}");
}

#[test]
fn garbage_never_panics() {
    let mut numbers = Numbers(0xfeed_beef_1234_5671);
    for _ in 0..20_000 {
        let len = numbers.below(200);
        let mut bytes: Vec<u8> = (0..len)
            .map(|_| u8::try_from(numbers.below(256)).unwrap())
            .collect();
        if len > 12 && numbers.below(2) == 0 {
            // Get past the header's version now and then.
            bytes[7..11].copy_from_slice(&[1, 0, 1, 0]);
        }
        assert_eq!(drive(&bytes).1, 0, "garbage became an event");
    }
}
