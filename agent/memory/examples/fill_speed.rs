//! How fast the page server fills, and how long a touch waits meanwhile: `fill_speed [MIB [ROUNDS]]`, as root.
//!
//! For each variant a process with so much registered memory (every page data) is served; it touches pages at random places until all
//! is filled, and says how long each touch took that was not answered by the memory itself. Variants are measured in turn, round after
//! round, so that whatever else the machine does meets them alike.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a measurement"
)]

mod served;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use godwit_memory::serve::Tuning;
use served::{Served, random, register};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |i: usize, otherwise| arguments.get(i).map_or(otherwise, |text| text.parse().unwrap());
    if arguments.get(1).is_some_and(|word| word == "app") {
        return app(number(2, 0));
    }
    let (mib, rounds) = (number(1, 1024), number(2, 3));
    let kib = |chunk: u64, ahead: u64, zero: u64| Tuning {
        chunk: chunk * 1024,
        chunk_busy: chunk.min(64) * 1024,
        ahead: ahead * 1024,
        zero_ahead: zero * 1024,
        ..Tuning::default()
    };
    let variants = [
        ("chunk 64 KiB", kib(64, 64, 2048)),
        ("chunk 256 KiB", kib(256, 64, 2048)),
        ("chunk 1 MiB", kib(1024, 64, 2048)),
        ("256 KiB, ahead 4 KiB", kib(256, 4, 2048)),
        (
            "256 KiB, fill nice 10",
            Tuning {
                fill_nice: 10,
                ..kib(256, 64, 2048)
            },
        ),
        (
            "256 KiB, fill nice -10",
            Tuning {
                fill_nice: -10,
                ..kib(256, 64, 2048)
            },
        ),
        (
            "256 KiB, 2 fill threads",
            Tuning {
                fill_threads: 2,
                ..kib(256, 64, 2048)
            },
        ),
        (
            "256 KiB, 1 fault thread",
            Tuning {
                fault_threads: 1,
                ..kib(256, 64, 2048)
            },
        ),
    ];
    let touches = [0, 200];
    let mut figures = vec![Vec::new(); variants.len() * touches.len()];
    for _ in 0..rounds {
        for (i, (_, tuning)) in variants.iter().enumerate() {
            for (j, pause) in touches.iter().enumerate() {
                figures[i * touches.len() + j].push(measure(mib, *tuning, *pause));
            }
        }
    }
    println!(
        "{:<26}{:>12}{:>10}{:>12}{:>12}{:>10}",
        "median of rounds", "touches", "GiB/s", "median us", "p99 us", "max us"
    );
    for (i, (name, _)) in variants.iter().enumerate() {
        for (j, pause) in touches.iter().enumerate() {
            let runs = &mut figures[i * touches.len() + j];
            let mut column = |of: fn(&Figures) -> f64| {
                runs.sort_by(|a, b| of(a).total_cmp(&of(b)));
                of(&runs[runs.len() / 2])
            };
            println!(
                "{name:<26}{:>12}{:>10.2}{:>12.1}{:>12.1}{:>10.0}",
                if *pause == 0 {
                    "none".to_owned()
                } else {
                    format!("each {pause} us")
                },
                column(|f| f.speed),
                column(|f| f.median),
                column(|f| f.p99),
                column(|f| f.max),
            );
        }
    }
}

#[derive(Debug, Clone)]
struct Figures {
    speed: f64,
    median: f64,
    p99: f64,
    max: f64,
}

fn measure(mib: u64, tuning: Tuning, pause: u64) -> Figures {
    let mut served = Served::start("app", mib, tuning);
    if pause != 0 {
        served.say(&pause.to_string());
    }
    let elapsed = served.filled();
    let mut latencies: Vec<f64> = Vec::new();
    if pause != 0 {
        served.say("stop");
        latencies = served
            .hear()
            .split(' ')
            .filter_map(|text| text.parse().ok())
            .collect();
    }
    latencies.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        latencies
            .get(index.min(latencies.len().saturating_sub(1)))
            .map_or(f64::NAN, |ns| ns / 1e3)
    };
    Figures {
        speed: mib as f64 / 1024.0 / elapsed.as_secs_f64(),
        median: at(0.5),
        p99: at(0.99),
        max: at(1.0),
    }
}

/// The process that is served. Touches until it hears anything else.
fn app(bytes: u64) {
    let mut lines = register(bytes);
    let pause = Duration::from_micros(lines.next().unwrap().unwrap().parse().unwrap());
    let stop = std::thread::spawn(move || drop(lines.next()));
    let mut seed = 1_u64;
    let mut found = String::new();
    while !stop.is_finished() {
        let address = random(&mut seed, bytes);
        let begun = Instant::now();
        // SAFETY: inside the mapping.
        unsafe { std::ptr::read_volatile(address as *const u8) };
        let elapsed = begun.elapsed();
        // Memory that is there answers in less.
        if elapsed > Duration::from_nanos(1500) {
            let _ = write!(found, "{} ", elapsed.as_nanos());
        }
        std::thread::sleep(pause);
    }
    println!("{found}");
}
