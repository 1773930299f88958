//! What an application can do in the first second of its new life, while its memory is filled in: `first_second [MIB [ROUNDS]]`, as root.
//!
//! A process writes to pages at random places at a given rate (as far as it gets), while its memory is served, and says how many it wrote
//! in each tenth of a second; the last tenths are the rate it reaches once all is there. Beside it as many busy programs as said stand for all else that runs on a
//! node just then: each works for 2 ms and sleeps for 2 ms. Variants are measured in turn, round after round.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a measurement"
)]

mod served;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use godwit_memory::serve::Tuning;
use served::{Served, random, register};

const TENTH: Duration = Duration::from_millis(100);
/// Tenths of a second that are counted.
const TENTHS: usize = 25;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |i: usize, otherwise| arguments.get(i).map_or(otherwise, |text| text.parse().unwrap());
    match arguments.get(1).map(String::as_str) {
        Some("app") => return app(number(2, 0)),
        Some("busy") => busy(),
        _ => {}
    }
    let (mib, rounds) = (number(1, 1024), number(2, 5));
    let variants = variants();
    for (rate, others) in [(12_800, 0), (12_800, 2), (0, 0), (0, 2)] {
        let mut figures = vec![Vec::new(); variants.len()];
        for _ in 0..rounds {
            for ((_, tuning), figures) in variants.iter().zip(&mut figures) {
                figures.push(measure(mib, *tuning, rate, others));
            }
        }
        println!(
            "{mib} MiB, {rate} pages/s wanted (0: as many as possible), {others} busy programs beside; medians of {rounds}"
        );
        println!(
            "{:<28}{:>12}{:>12}{:>12}{:>10}",
            "", "1st second", "0.1 s", "0.5 s", "filled"
        );
        for ((name, _), runs) in variants.iter().zip(&mut figures) {
            let mut median = |of: fn(&Figures) -> f64| {
                runs.sort_by(|a, b| of(a).total_cmp(&of(b)));
                of(&runs[runs.len() / 2])
            };
            println!(
                "{name:<28}{:>10.0} %{:>10.0} %{:>10.0} %{:>8.2} s",
                median(|f| f.second),
                median(|f| f.tenth),
                median(|f| f.half),
                median(|f| f.filled)
            );
        }
    }
}

fn variants() -> Vec<(&'static str, Tuning)> {
    let now = Tuning::default();
    vec![
        ("as it is", now),
        (
            "gentle for 0.3 s",
            Tuning {
                gentle_ms: 300,
                ..now
            },
        ),
        ("never gentle", Tuning { gentle_ms: 0, ..now }),
        (
            "2 fill threads",
            Tuning {
                fill_threads: 2,
                ..now
            },
        ),
        (
            "ahead 256 KiB",
            Tuning {
                ahead: 256 * 1024,
                ..now
            },
        ),
        (
            "ahead 16 KiB",
            Tuning {
                ahead: 16 * 1024,
                ..now
            },
        ),
    ]
}

/// In percent of the rate without filling, and in seconds.
#[derive(Debug, Clone, Copy)]
struct Figures {
    second: f64,
    tenth: f64,
    half: f64,
    filled: f64,
}

fn measure(mib: u64, tuning: Tuning, rate: u64, others: usize) -> Figures {
    let mut busy: Vec<_> = (0..others)
        .map(|_| {
            Command::new("/proc/self/exe")
                .arg("busy")
                .stdin(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut served = Served::start("app", mib, tuning);
    served.say(&rate.to_string());
    let filled = served.filled().as_secs_f64();
    let tenths: Vec<f64> = served
        .hear()
        .split(' ')
        .map(|text| text.parse().unwrap())
        .collect();
    for busy in &mut busy {
        busy.kill().unwrap();
        busy.wait().unwrap();
    }
    let mean = |tenths: &[f64]| tenths.iter().sum::<f64>() / tenths.len() as f64;
    let whole = mean(&tenths[TENTHS - 5..]);
    Figures {
        second: mean(&tenths[..10]) / whole * 100.0,
        tenth: tenths[0] / whole * 100.0,
        half: mean(&tenths[..5]) / whole * 100.0,
        filled,
    }
}

/// The process that is served. What it could not write in time it does not make up for.
fn app(bytes: u64) {
    let mut lines = register(bytes);
    let rate: u64 = lines.next().unwrap().unwrap().parse().unwrap();
    let mut seed = 1_u64;
    let mut tenths = [0_u64; TENTHS];
    let begun = Instant::now();
    let slice = Duration::from_millis(2);
    let most = if rate == 0 { u64::MAX } else { rate / 500 };
    loop {
        let start = begun.elapsed();
        let mut written = 0;
        while written < most && begun.elapsed() < start + slice {
            let address = random(&mut seed, bytes);
            // SAFETY: inside the mapping.
            unsafe { std::ptr::write_bytes(address as *mut u8, 1, 4096) };
            written += 1;
            let tenth = (begun.elapsed().as_micros() / TENTH.as_micros()) as usize;
            match tenths.get_mut(tenth) {
                Some(count) => *count += 1,
                None => break,
            }
        }
        let now = begun.elapsed();
        if now >= TENTH * TENTHS as u32 {
            break;
        }
        if let Some(rest) = (start + slice).checked_sub(now)
            && rate != 0
        {
            std::thread::sleep(rest);
        }
    }
    let tenths: Vec<String> = tenths.iter().map(u64::to_string).collect();
    println!("{}", tenths.join(" "));
}

fn busy() -> ! {
    // SAFETY: a plain system call.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    loop {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(2) {}
        std::thread::sleep(Duration::from_millis(2));
    }
}
