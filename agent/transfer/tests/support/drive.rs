//! Feeds bytes to a decoder and a session that has got to some stage; shared by the fuzz target and `tests/smoke.rs`.

use godwit_transfer::{
    ContainerEntry, ContainerName, Decoder, Empty, Event, Frame, Hello, Inbound, Limits, MAX_CONTROL_LEN,
    MAX_FRAME_LEN, Manifest, Message, Outbound, Party, Role, Session, Welcome,
};

const LIMITS: Limits = Limits {
    open_objects: 4,
    objects: 16,
    object_bytes: 1 << 16,
    session_bytes: 1 << 18,
};

fn manifest() -> Message {
    let container = ContainerEntry {
        name: "a".into(),
        image_id: "i".into(),
        runtime: "r".into(),
        image: "i".into(),
        owns_sysv: true,
        lazy: true,
    };
    Message::Manifest(Manifest {
        source_pod_uid: "s".into(),
        target_pod_uid: "t".into(),
        hostname: "h".into(),
        addresses: vec![],
        host_paths: vec![],
        other_files: vec![],
        containers: vec![container],
        ..Manifest::default()
    })
}

/// What an honest migration says up to Prepared: (said by the dialer, message).
fn script(role: Role) -> Vec<(bool, Message)> {
    let opening = vec![
        (true, Message::Hello(Hello::new(role, "m", "n"))),
        (false, Message::Welcome(Welcome { version: 1 })),
    ];
    let migration = vec![
        (true, manifest()),
        (false, Message::ManifestOk(godwit_transfer::Agreed::default())),
        (true, Message::EndParking(Empty {})),
        (false, Message::Parked(ContainerName::new("a"))),
        (true, Message::Frozen(Empty {})),
        (true, Message::ImagesComplete(ContainerName::new("a"))),
        (true, Message::FilesComplete(ContainerName::new("a"))),
    ];
    let rest = if role == Role::Migrate { migration } else { vec![] };
    opening.into_iter().chain(rest).collect()
}

/// The end of `party` after so many steps of the script.
fn staged(party: Party, role: Role, steps: usize) -> Option<(Outbound, Inbound)> {
    let (mut dialer_out, mut dialer_in) = Session::new(Party::Dialer, LIMITS).split();
    let (mut acceptor_out, mut acceptor_in) = Session::new(Party::Acceptor, LIMITS).split();
    for (by_dialer, message) in script(role).into_iter().take(steps) {
        if by_dialer {
            acceptor_in.receive(dialer_out.send(&message).ok()?).ok()?;
        } else {
            dialer_in.receive(acceptor_out.send(&message).ok()?).ok()?;
        }
    }
    Some(if party == Party::Dialer {
        (dialer_out, dialer_in)
    } else {
        (acceptor_out, acceptor_in)
    })
}

/// Frames that arrived and events that they gave.
pub fn drive(input: &[u8]) -> (usize, usize) {
    let (head, mut bytes) = input.split_at(input.len().min(3));
    let [stage, cut, flags] = [0, 1, 2].map(|at| head.get(at).copied().unwrap_or(0));
    let party = if flags & 1 == 0 {
        Party::Acceptor
    } else {
        Party::Dialer
    };
    let role = if flags & 16 == 0 {
        [Role::Migrate, Role::Lane, Role::AskVerdict, Role::Carry][usize::from(flags >> 1 & 3)]
    } else {
        Role::HostFiles
    };
    let Some((mut out, mut inbound)) = staged(party, role, usize::from(stage % 10)) else {
        return (0, 0);
    };
    if flags & 8 != 0 {
        // Aborting: whatever comes crosses it.
        let _ = out.send(&Message::Abort(godwit_transfer::Abort::new("Fuzz", "Fuzz", "")));
    }
    let mut decoder = Decoder::new();
    let (mut frames, mut events) = (0, 0);
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(bytes.len().min(usize::from(cut) + 1));
        bytes = rest;
        decoder.push(piece);
        loop {
            let frame = match decoder.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return (frames, events),
            };
            frames += 1;
            bounded(&frame);
            match inbound.receive(frame) {
                Ok(Event::Ignored) => {}
                Ok(event) => {
                    events += 1;
                    answer(&mut out, &event);
                }
                Err(_) => return (frames, events),
            }
            assert!(inbound.object_bytes() <= LIMITS.session_bytes, "bound on bytes");
        }
    }
    (frames, events)
}

fn bounded(frame: &Frame) {
    let max = if frame.stream == 0 {
        MAX_CONTROL_LEN
    } else {
        MAX_FRAME_LEN
    };
    assert!(frame.payload.len() <= max, "bound on frames");
}

/// An agreeable answer, so that a stream can get further than one message.
fn answer(out: &mut Outbound, event: &Event) {
    let Event::Message(message) = event else { return };
    let answer = match message {
        Message::Hello(_) => Message::Welcome(Welcome { version: 1 }),
        Message::Manifest(_) => Message::ManifestOk(godwit_transfer::Agreed::default()),
        Message::EndParking(_) => Message::Parked(ContainerName::new("a")),
        Message::Ping(nonce) => Message::Pong(*nonce),
        Message::Abort(_) => Message::AbortOk(Empty {}),
        Message::CarryMove(_) | Message::CarryEnded(_) => Message::CarryOk(Empty {}),
        Message::WantedFiles(_) => Message::FoundFiles(godwit_transfer::FoundFiles {
            files: vec![godwit_transfer::FoundFile {
                state: godwit_transfer::FileState::Same.into(),
                ..Default::default()
            }],
        }),
        _ => return,
    };
    let _ = out.send(&answer);
}
