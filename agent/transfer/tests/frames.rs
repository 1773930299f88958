//! Frames survive any cut, and nothing else gets through.

#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by panicking, also in its helpers.

mod support;

use bytes::Bytes;
use godwit_transfer::{
    DecodeError, Decoder, Frame, FrameKind, HEADER_LEN, Limits, MAX_CONTROL_LEN, MAX_FRAME_LEN, Party,
    Session,
};
use proptest::prelude::*;
use support::data;

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let control = prop::collection::vec(any::<u8>(), 1..300)
        .prop_map(|payload| Frame::new(FrameKind::Control, 0, payload.into()));
    let chunk = (1..u32::MAX, prop::collection::vec(any::<u8>(), 1..3000))
        .prop_map(|(stream, payload)| Frame::new(FrameKind::Data, stream, payload.into()));
    prop::collection::vec(prop_oneof![control, chunk], 0..12)
}

fn bytes_of(frames: &[Frame]) -> Vec<u8> {
    frames
        .iter()
        .flat_map(|frame| frame.to_bytes().to_vec())
        .collect()
}

/// All frames, and how the stream ended.
fn read(pieces: &[&[u8]], in_place: bool) -> (Vec<Frame>, Result<(), DecodeError>) {
    let mut decoder = Decoder::new();
    let mut frames = Vec::new();
    for piece in pieces {
        if in_place {
            decoder.space(piece.len()).extend_from_slice(piece);
        } else {
            decoder.push(piece);
        }
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, decoder.finish())
}

fn cut<'a>(bytes: &'a [u8], at: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = at.iter().map(|index| index.index(bytes.len() + 1)).collect();
    at.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for to in at {
        pieces.push(&bytes[from..to]);
        from = to;
    }
    pieces.push(&bytes[from..]);
    pieces
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_frames(
        sent in frames(),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        in_place: bool,
    ) {
        let bytes = bytes_of(&sent);
        let (got, end) = read(&cut(&bytes, &at), in_place);
        prop_assert_eq!(got, sent);
        prop_assert_eq!(end, Ok(()));
    }

    #[test]
    fn byte_by_byte(sent in frames()) {
        let bytes = bytes_of(&sent);
        let (got, end) = read(&bytes.chunks(1).collect::<Vec<_>>(), false);
        prop_assert_eq!(got, sent);
        prop_assert_eq!(end, Ok(()));
    }

    #[test]
    fn a_truncated_stream_is_told(sent in frames(), at: prop::sample::Index) {
        let bytes = bytes_of(&sent);
        prop_assume!(!bytes.is_empty());
        let at = at.index(bytes.len());
        let (got, end) = read(&[&bytes[..at]], false);
        prop_assert_eq!(&got[..], &sent[..got.len()]);
        // At the end of a frame nothing is missing as far as frames go: the session must notice.
        prop_assert_eq!(end.is_ok(), bytes_of(&got).len() == at);
    }

    #[test]
    fn a_flipped_bit_never_becomes_a_frame(sent in frames(), at: prop::sample::Index, bit in 0..8) {
        let mut bytes = bytes_of(&sent);
        prop_assume!(!bytes.is_empty());
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        let (got, end) = read(&[&bytes], false);
        prop_assert!(end.is_err());
        prop_assert_eq!(&got[..], &sent[..got.len()]);
        prop_assert!(bytes_of(&got).len() <= at, "a damaged frame got through");
    }

    #[test]
    fn garbage_ends_in_an_error(garbage in prop::collection::vec(any::<u8>(), 1..2000)) {
        let (got, end) = read(&[&garbage], false);
        prop_assert!(got.is_empty());
        prop_assert!(end.is_err());
    }

    #[test]
    fn a_header_alone_costs_nothing(head: [u8; HEADER_LEN]) {
        let mut decoder = Decoder::new();
        decoder.push(&head);
        let judged = decoder.next_frame();
        let room = decoder.space(0).capacity();
        prop_assert!(room <= 2 * (MAX_FRAME_LEN + HEADER_LEN), "{room}");
        if judged.is_err() {
            prop_assert!(decoder.next_frame().is_err(), "an error lasts");
        }
    }

    #[test]
    fn a_session_takes_any_control_payload(payload in prop::collection::vec(any::<u8>(), 1..400)) {
        let (_, mut inbound) = Session::new(Party::Acceptor, Limits::default()).split();
        let frame = Frame::new(FrameKind::Control, 0, payload.into());
        // No garbage is a Hello: its names, roles and versions are too special for that.
        prop_assert!(inbound.receive(frame).is_err());
    }
}

fn decode_header(len: u32, kind: u16, version: u16, stream: u32) -> Result<Option<Frame>, DecodeError> {
    let mut head = Vec::new();
    head.extend_from_slice(&len.to_le_bytes());
    head.extend_from_slice(&kind.to_le_bytes());
    head.extend_from_slice(&version.to_le_bytes());
    head.extend_from_slice(&stream.to_le_bytes());
    head.extend_from_slice(&[0; 4]);
    let mut decoder = Decoder::new();
    decoder.push(&head);
    decoder.next_frame()
}

#[test]
fn bounds_are_judged_by_the_header() {
    let long = u32::try_from(MAX_FRAME_LEN).unwrap();
    let control = u32::try_from(MAX_CONTROL_LEN).unwrap();
    assert_eq!(decode_header(long, 2, 1, 1), Ok(None));
    assert_eq!(decode_header(control, 1, 1, 0), Ok(None));
    for (len, kind, version, stream, reason) in [
        (long + 1, 2, 1, 1, "FrameTooLong"),
        (u32::MAX, 2, 1, 1, "FrameTooLong"),
        (control + 1, 1, 1, 0, "FrameTooLong"),
        (1, 3, 1, 0, "UnknownFrame"),
        (1, 0, 1, 0, "UnknownFrame"),
        (1, 1, 2, 0, "FrameVersion"),
        (1, 1, 1, 7, "MalformedFrame"),
        (1, 2, 1, 0, "MalformedFrame"),
        (0, 2, 1, 1, "MalformedFrame"),
        (0, 1, 1, 0, "MalformedFrame"),
    ] {
        let error = decode_header(len, kind, version, stream).unwrap_err();
        assert_eq!(error.reason(), reason, "{len} {kind} {version} {stream}");
    }
}

#[test]
fn payloads_are_not_copied() {
    let payload = Bytes::from(vec![3; 100_000]);
    let frame = Frame::new(FrameKind::Data, 1, payload.clone());
    assert_eq!(frame.payload.as_ptr(), payload.as_ptr());
    let mut decoder = Decoder::new();
    let buffer = decoder.space(200_000);
    buffer.extend_from_slice(&frame.to_bytes());
    let at = buffer.as_ptr() as usize;
    let got = decoder.next_frame().unwrap().unwrap();
    assert_eq!(got.payload, payload);
    assert_eq!(
        got.payload.as_ptr() as usize,
        at + HEADER_LEN,
        "the payload is a view of the buffer"
    );
}

#[test]
fn a_frame_of_full_length() {
    let sent = data(1, &vec![9; MAX_FRAME_LEN]);
    let (got, end) = read(&sent.to_bytes().chunks(4099).collect::<Vec<_>>(), true);
    assert_eq!((got, end), (vec![sent], Ok(())));
}
