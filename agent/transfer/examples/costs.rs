//! What each step of the data path costs; run by hand: `cargo run --release -p godwit-transfer --example costs`.
//!
//! Processor time in ms for each GiB, the median of several runs that take turns, so that other load on the machine
//! touches all alike. Sender and receiver each pay once for what is listed under them.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss)] // A program for people, run by hand.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use godwit_transfer::{CHUNK_LEN, Decoder, Frame, FrameKind};
use nix::time::{ClockId, clock_gettime};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

/// As in the agent.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 256 MiB.
const CHUNKS: usize = 1024;
const RUNS: usize = 7;

fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// Adds up what a step takes.
#[derive(Default)]
struct Clock(Duration);

impl Clock {
    fn run<T>(&mut self, step: impl FnOnce() -> T) -> T {
        let began = cpu();
        let value = step();
        self.0 += cpu().saturating_sub(began);
        value
    }

    fn ms_of_gib(&self) -> f64 {
        self.0.as_secs_f64() * 1e3 * (1_u64 << 30) as f64 / (CHUNKS * CHUNK_LEN) as f64
    }
}

type Step = fn(&[Bytes]) -> Vec<(&'static str, f64)>;

fn main() {
    // Not all the same, and not in a core's cache: as pages of a container.
    let mut state = 88_172_645_463_325_252_u64;
    let mut memory = Vec::new();
    for _ in 0..64 * CHUNK_LEN / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        memory.extend_from_slice(&state.to_le_bytes());
    }
    let memory = Bytes::from(memory);
    let chunks: Vec<Bytes> = (0..64)
        .map(|at| memory.slice(at * CHUNK_LEN..(at + 1) * CHUNK_LEN))
        .collect();
    let steps: [Step; 4] = [checks, decoding, tls, kernel];
    let mut all: Vec<(&str, Vec<f64>)> = Vec::new();
    for _ in 0..RUNS {
        for (name, ms) in steps.iter().flat_map(|step| step(&chunks)) {
            match all.iter_mut().find(|(one, _)| *one == name) {
                Some((_, runs)) => runs.push(ms),
                None => all.push((name, vec![ms])),
            }
        }
    }
    for (name, mut runs) in all {
        runs.sort_by(f64::total_cmp);
        println!(
            "{name:40} {:6.0} ms/GiB ({:.0} to {:.0})",
            runs[RUNS / 2],
            runs[0],
            runs[RUNS - 1]
        );
    }
}

fn frame(chunk: &Bytes) -> Frame {
    Frame::new(FrameKind::Data, 1, chunk.clone())
}

fn each(chunks: &[Bytes]) -> impl Iterator<Item = &Bytes> {
    chunks.iter().cycle().take(CHUNKS)
}

fn checks(chunks: &[Bytes]) -> Vec<(&'static str, f64)> {
    let (mut hash, mut header, mut both, mut copy) = (
        Clock::default(),
        Clock::default(),
        Clock::default(),
        Clock::default(),
    );
    let mut hasher = blake3::Hasher::new();
    for chunk in each(chunks) {
        hash.run(|| hasher.update(chunk));
    }
    for chunk in each(chunks) {
        header.run(|| black_box(frame(chunk).header()));
    }
    for chunk in each(chunks) {
        both.run(|| {
            hasher.update(chunk);
            black_box(frame(chunk).header())
        });
    }
    let mut to = vec![0; CHUNK_LEN];
    for chunk in each(chunks) {
        copy.run(|| black_box(&mut to).copy_from_slice(chunk));
    }
    vec![
        ("each side: hash of the object (BLAKE3)", hash.ms_of_gib()),
        ("each side: check of the frame (CRC-32)", header.ms_of_gib()),
        ("each side: both, chunk by chunk", both.ms_of_gib()),
        ("one copy, for comparison", copy.ms_of_gib()),
    ]
}

fn decoding(chunks: &[Bytes]) -> Vec<(&'static str, f64)> {
    let wires: Vec<Bytes> = chunks.iter().map(|chunk| frame(chunk).to_bytes()).collect();
    let mut clock = Clock::default();
    let mut decoder = Decoder::new();
    for wire in each(&wires) {
        clock.run(|| {
            // As much at once as a TLS record holds.
            for record in wire.chunks(16 << 10) {
                decoder.space(16 << 10).extend_from_slice(record);
                black_box(decoder.next_frame().unwrap());
            }
        });
    }
    vec![("receiver: frames, with check and copy", clock.ms_of_gib())]
}

/// With records of 16 KiB, rustls' default, and as short as the agent has them.
fn tls(chunks: &[Bytes]) -> Vec<(&'static str, f64)> {
    let (full_seal, full_open) = records(chunks, None);
    let (seal, open) = records(chunks, Some(16_000));
    vec![
        ("sender: TLS, AES-128-GCM, full records", full_seal),
        ("receiver: TLS, full records", full_open),
        ("sender: TLS, records of 16,000 bytes", seal),
        ("receiver: TLS, records of 16,000 bytes", open),
    ]
}

/// What sealing and opening cost.
fn records(chunks: &[Bytes], longest: Option<usize>) -> (f64, f64) {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256],
        ..ring::default_provider()
    });
    let made = rcgen::generate_simple_self_signed(vec!["n1".to_owned()]).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.max_fragment_size = longest;
    let mut client = ClientConnection::new(Arc::new(client), "n1".try_into().unwrap()).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let mut wire = Vec::new();
    while client.is_handshaking() || server.is_handshaking() {
        wire.clear();
        client.write_tls(&mut wire).unwrap();
        feed(&mut server, &wire, &mut []);
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    let (mut seal, mut open) = (Clock::default(), Clock::default());
    let mut plain = vec![0; CHUNK_LEN];
    for chunk in each(chunks) {
        wire.clear();
        seal.run(|| {
            let mut rest = chunk.as_ref();
            while !rest.is_empty() {
                let taken = client.writer().write(rest).unwrap();
                rest = &rest[taken..];
                while client.wants_write() {
                    client.write_tls(&mut wire).unwrap();
                }
            }
        });
        open.run(|| feed(&mut server, &wire, &mut plain));
        assert_eq!(plain, chunk.as_ref());
    }
    (seal.ms_of_gib(), open.ms_of_gib())
}

fn feed(to: &mut ServerConnection, mut wire: &[u8], mut plain: &mut [u8]) {
    while !wire.is_empty() {
        to.read_tls(&mut wire).unwrap();
        to.process_new_packets().unwrap();
        while let Ok(read @ 1..) = to.reader().read(plain) {
            plain = &mut plain[read..];
        }
    }
}

fn kernel(chunks: &[Bytes]) -> Vec<(&'static str, f64)> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut to = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut from, _) = listener.accept().unwrap();
    let receiver = std::thread::spawn(move || {
        let mut clock = Clock::default();
        let mut buffer = vec![0; CHUNK_LEN];
        while clock.run(|| from.read(&mut buffer)).unwrap() > 0 {}
        clock.ms_of_gib()
    });
    let mut clock = Clock::default();
    for chunk in each(chunks) {
        clock.run(|| to.write_all(chunk)).unwrap();
    }
    drop(to);
    vec![
        ("sender: kernel, loopback", clock.ms_of_gib()),
        ("receiver: kernel, loopback", receiver.join().unwrap()),
    ]
}
