//! What each step of the wire codec costs; run by hand: `cargo run --release -p godwit-memory --example wire_costs`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss)] // A program for people, run by hand.

use std::hint::black_box;
use std::time::Duration;

use godwit_memory::range::{PAGE, PageRange};
use godwit_memory::wire::{Batch, Codec, Decoder, Encoder, thread_cpu_time};

const PAGES: u64 = 65_536;

fn main() {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let random: Vec<u8> = (0..PAGES * PAGE / 8).flat_map(|_| next().to_le_bytes()).collect();
    let text: Vec<u8> = records(&mut next);
    let zero = vec![0; random.len()];
    let repeated: Vec<u8> = random[..64 * 4096]
        .iter()
        .copied()
        .cycle()
        .take(random.len())
        .collect();
    println!("processor time in ms for each GiB; size after, in percent; 256 MiB each");
    println!(
        "{:10} {:7} {:>7} {:>9} {:>7} {:>7} {:>6}",
        "content", "round", "push", "codec", "take", "decode", "size"
    );
    for (name, memory) in [
        ("zero", &zero),
        ("repeated", &repeated),
        ("random", &random),
        ("records", &text),
    ] {
        for frozen in [false, true] {
            for codec in Codec::ALL {
                if !(frozen && codec == Codec::Zstd) {
                    measure(name, memory, frozen, codec);
                }
            }
        }
    }
}

/// Something like a heap: pointers, counters, words.
fn records(next: &mut impl FnMut() -> u64) -> Vec<u8> {
    let words = ["user", "session", "order", "price", "checkpoint", "node", "value"];
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < PAGES * PAGE {
        let one = next();
        bytes.extend_from_slice(&(0x5555_5000_0000 + one % (1 << 28)).to_le_bytes());
        bytes.extend_from_slice(&(one % 1000).to_le_bytes());
        for pick in 0..4 {
            let word = words[usize::try_from(one >> (8 * pick) & 0xff).unwrap() % words.len()];
            bytes.extend_from_slice(word.as_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(16), 0);
    }
    bytes.truncate(usize::try_from(PAGES * PAGE).unwrap());
    bytes
}

fn measure(name: &str, memory: &[u8], frozen: bool, codec: Codec) {
    let mut encoder = Encoder::new();
    if frozen {
        encoder.begin_frozen_round().unwrap();
    } else {
        let all = PageRange {
            start: 0,
            pages: PAGES,
        };
        encoder.begin_round([(1, all)]).unwrap();
    }
    let (mut taking, mut decoding, mut size) = (Duration::ZERO, Duration::ZERO, 0);
    let mut decoder = Decoder::new();
    let mut receive = |batch: Batch| {
        size += batch.bytes.len();
        let began = thread_cpu_time();
        black_box(decoder.decode(&batch.bytes).unwrap().ops().count());
        decoding += thread_cpu_time().saturating_sub(began);
    };
    let all = thread_cpu_time();
    let mut take = |encoder: &mut Encoder| {
        let began = thread_cpu_time();
        let batch = encoder.take(codec);
        taking += thread_cpu_time().saturating_sub(began);
        batch.map(&mut receive);
    };
    for (at, page) in (0..).zip(memory.as_chunks().0) {
        encoder.push(1, at * PAGE, page).unwrap();
        if encoder.full() {
            take(&mut encoder);
        }
    }
    take(&mut encoder);
    let pushing = thread_cpu_time()
        .saturating_sub(all)
        .saturating_sub(taking + decoding);
    let of_gib = |time: Duration| time.as_secs_f64() * 1e3 * (1_u64 << 30) as f64 / memory.len() as f64;
    println!(
        "{name:10} {:7} {:7.0} {:>9} {:7.0} {:7.0} {:6.1}",
        if frozen { "frozen" } else { "live" },
        of_gib(pushing),
        codec.to_string(),
        of_gib(taking),
        of_gib(decoding),
        size as f64 * 100.0 / memory.len() as f64
    );
}
