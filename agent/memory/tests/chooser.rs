//! The choice of a compression, on simulated links with figures of `examples/wire_costs.rs`.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by panicking, also in its helpers.

use std::cell::Cell;
use std::time::Duration;

use godwit_memory::range::{PAGE, PageRange};
use godwit_memory::wire::{Chooser, Codec, Encoder};

const PLAIN: f64 = 262_000.0;

/// What a kind of content costs with each codec: seconds of CPU for each byte, and the size after.
#[derive(Clone, Copy)]
struct Content([(f64, f64); 3]);

const RECORDS: Content = Content([(0.01e-9, 1.0), (1.9e-9, 0.455), (2.75e-9, 0.287)]);
const RANDOM: Content = Content([(0.01e-9, 1.0), (0.08e-9, 1.0), (0.45e-9, 1.0)]);
/// Reading, hashing and copying.
const GATHER: f64 = 0.6e-9;

fn of(content: Content, codec: Codec) -> (f64, f64) {
    content.0[Codec::ALL.iter().position(|one| *one == codec).unwrap()]
}

/// Seconds for one batch: encoder and link work side by side.
fn batch(content: Content, codec: Codec, link: f64) -> f64 {
    let (cpu, ratio) = of(content, codec);
    PLAIN * (GATHER + cpu).max(ratio / link)
}

/// Sends `count` batches; gives the seconds that they took, and the last choices.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn send(chooser: &mut Chooser, content: Content, link: f64, count: usize) -> (f64, Vec<Codec>) {
    let mut seconds = 0.0;
    let mut choices = Vec::new();
    for _ in 0..count {
        let codec = chooser.choose(false);
        let (cpu, ratio) = of(content, codec);
        let encoded = (PLAIN * ratio) as usize;
        chooser.gathered(PLAIN as usize, Duration::from_secs_f64(PLAIN * GATHER));
        chooser.encoded(
            codec,
            PLAIN as usize,
            encoded,
            Duration::from_secs_f64(PLAIN * cpu),
        );
        chooser.sent(encoded, Duration::from_secs_f64(PLAIN * ratio / link));
        seconds += batch(content, codec, link);
        choices.push(codec);
    }
    (seconds, choices)
}

fn mostly(choices: &[Codec]) -> Codec {
    Codec::ALL
        .into_iter()
        .max_by_key(|codec| choices.iter().filter(|one| *one == codec).count())
        .unwrap()
}

const LINKS: [f64; 4] = [10e6, 100e6, 1e9, 5e9];

#[test]
#[allow(clippy::cast_precision_loss)]
fn it_is_nearly_as_fast_as_the_best_on_every_link() {
    for content in [RECORDS, RANDOM] {
        for link in LINKS {
            let (seconds, _) = send(&mut Chooser::new(), content, link, 2000);
            let fixed = Codec::ALL.map(|codec| 2000.0 * batch(content, codec, link));
            let best = fixed.into_iter().fold(f64::MAX, f64::min);
            assert!(seconds <= 1.15 * best, "{seconds} of {fixed:?} on {link}");
        }
    }
}

#[test]
fn slow_links_are_worth_cpu_and_fast_ones_are_not() {
    for (link, records) in LINKS
        .into_iter()
        .zip([Codec::Zstd, Codec::Zstd, Codec::None, Codec::None])
    {
        for (content, expected) in [(RECORDS, records), (RANDOM, Codec::None)] {
            let mut chooser = Chooser::new();
            let (_, choices) = send(&mut chooser, content, link, 500);
            assert_eq!(mostly(&choices), expected, "{link}");
            let seen = chooser.link_speed().unwrap();
            assert!((seen / link - 1.0).abs() < 0.01, "{seen} for {link}");
            // In the freeze nothing is tried.
            let frozen: Vec<_> = (0..200).map(|_| chooser.choose(true)).collect();
            assert!(frozen.iter().all(|codec| *codec == frozen[0]));
        }
    }
}

#[test]
fn it_notices_when_the_content_or_the_link_changes() {
    let mut chooser = Chooser::new();
    send(&mut chooser, RANDOM, 100e6, 1000);
    let (_, choices) = send(&mut chooser, RECORDS, 100e6, 400);
    assert_eq!(mostly(&choices[100..]), Codec::Zstd, "other content");
    let (_, choices) = send(&mut chooser, RECORDS, 5e9, 800);
    assert_eq!(mostly(&choices[400..]), Codec::None, "a faster link");
    let (_, choices) = send(&mut chooser, RECORDS, 10e6, 800);
    assert_eq!(mostly(&choices[400..]), Codec::Zstd, "a slower one");
}

#[test]
fn a_freeze_before_anything_was_tried_does_not_compress() {
    assert_eq!(Chooser::new().choose(true), Codec::None);
}

/// With a real encoder: the clock is asked, and what came of it is remembered.
#[test]
fn it_learns_from_an_encoder() {
    let mut chooser = Chooser::new();
    let mut encoder = Encoder::new();
    let pages = 400;
    encoder.begin_round([(1, PageRange { start: 0, pages })]).unwrap();
    let clock = Cell::new(Duration::ZERO);
    let tick = || {
        clock.set(clock.get() + Duration::from_micros(10));
        clock.get()
    };
    let mut codecs = Vec::new();
    for at in 0..pages {
        let mut page = [b'a'; 4096];
        page[..8].copy_from_slice(&at.to_le_bytes());
        encoder.push(1, at * PAGE, &page).unwrap();
        if encoder.full() {
            let batch = chooser.take(&mut encoder, tick).unwrap();
            chooser.sent(batch.bytes.len(), Duration::from_millis(10));
            codecs.push(batch.codec);
        }
    }
    assert!(chooser.take(&mut encoder, tick).is_some() && chooser.take(&mut encoder, tick).is_none());
    assert_eq!(codecs[..3], Codec::ALL, "each is tried once");
    assert!(
        codecs.len() > 4 && codecs[3..].iter().all(|codec| *codec != Codec::None),
        "{codecs:?}"
    );
}
