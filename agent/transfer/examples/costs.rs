//! What each step of the data path costs; run by hand: `cargo run --release -p godwit-transfer --example costs`.
#![allow(clippy::print_stdout, clippy::unwrap_used)] // A program for people, run by hand.

use std::time::Instant;

use bytes::Bytes;
use godwit_transfer::{CHUNK_LEN, Decoder, Frame, FrameKind};

const CHUNKS: usize = 4096;

fn measure(what: &str, mut step: impl FnMut()) {
    let started = Instant::now();
    for _ in 0..CHUNKS {
        step();
    }
    let took = started.elapsed();
    let mebibytes = u128::try_from((CHUNKS * CHUNK_LEN) >> 20).unwrap();
    println!(
        "{what}: {} MiB/s",
        mebibytes * 1_000_000 / took.as_micros().max(1)
    );
}

fn main() {
    let chunk = Bytes::from(vec![0x5a; CHUNK_LEN]);
    let frame = Frame {
        kind: FrameKind::Data,
        stream: 1,
        payload: chunk.clone(),
    };
    let wire = frame.to_bytes();
    let mut hasher = blake3::Hasher::new();
    measure("hash of an object (BLAKE3)", || {
        hasher.update(&chunk);
    });
    measure("header with check (CRC-32)", || {
        assert_ne!(frame.header(), [0; 16]);
    });
    let mut decoder = Decoder::new();
    measure("decoding, one copy included", || {
        decoder.push(&wire);
        assert!(decoder.next_frame().unwrap().is_some());
    });
}
