//! Memory that is written all the time and knows what should be in it: each page holds its own name, a sequence number
//! and a checksum over all of it, and an index beside it says which number every page must have.
//!
//! `pagewriter PORT [NAME=VALUE…]`:
//!
//! | name | | default |
//! |---|---|---|
//! | `memory` | bytes, with `K`, `M` or `G`, for all processes together | `64M` |
//! | `rate` | bytes written in a second by all together, or `max` | `10M` |
//! | `pattern` | `uniform`, `hot` (nine of ten writes go to a tenth) or `append` | `uniform` |
//! | `threads` | writers in each process | 2 |
//! | `processes` | | 1 |
//! | `look` | pages in a second that are looked at besides, by each process | 2000 |
//! | `churn` | `yes`: forked twins, mappings that move, go and come back, huge pages, a growing heap, see [`churn`], [`twin`] | `no` |
//! | `thirds` | bytes of which a third is zero, a third repeats, a third is random; see [`thirds`] | 0 |
//!
//! The port answers lines:
//!
//! - `verify`: every page is looked at; `ok PAGES`, or `damaged …` with what was found.
//! - `stats`: JSON: what was written, damages, rounds of the churn, and the throughput of the last minute in windows.
//! - `gap`: JSON: for each writer the largest time between two of its writes since the last `gap`: a freeze, as it is
//!   seen from inside.
//! - `INCR counter`: `:1`, `:2`, …, as Redis would: one client can watch either.
//! - `stop`: `verify`, then all ends; the exit code is 3 if anything was ever damaged.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what a container prints is its log"
)]

mod area;
mod board;
mod chooser;
mod churn;
mod control;
mod pace;
mod page;
mod processes;
mod random;
mod region;
mod settings;
mod shared;
mod thirds;
mod throughput;
mod twin;
mod worker;
mod writer;

use std::process::ExitCode;

use settings::Settings;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The exit code of a program that has found damage.
const DAMAGED: u8 = 3;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let ended = Settings::parse(&words).and_then(|settings| {
        let board = board::Board::share()?;
        // While this process has one thread: what is forked may do everything then.
        let processes = processes::start(&settings, board)?;
        control::serve(&settings, board, processes)
    });
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(DAMAGED),
        Err(error) => {
            eprintln!("pagewriter: {error}");
            ExitCode::FAILURE
        }
    }
}
