//! What runs in the pods of the tests: each part checks itself all the time, and tells over TCP what it found.
//!
//! `workload serve [PORT [MEBIBYTES]]`: answers each line that a client sends: `incr` with the next number, `sum` with
//! a checksum of its memory, anything else with `?`.
//!
//! `workload client ADDRESS [SECONDS]`: sends `incr` on one connection all the time; at the end it prints how many
//! answers came, whether each was the next number, and the longest wait for one, in microseconds.
//!
//! `workload load PORT NAME=ADDRESS…`: one connection to each Redis at ADDRESS, each with INCR all the time; see [`load`].
//!
//! `workload rows PORT ADDRESS COUNT`: so many connections to the PostgreSQL at ADDRESS that commit rows all the time; see [`rows`].
//!
//! `workload calls`: see [`calls`]. `workload lock FILE UNTIL`: see [`lock`]. `workload unread`: see [`unread`].
//!
//! `workload crowd PROCESSES MAPPINGS`: see [`crowd`].
//!
//! `workload lines …`: numbered lines on stdout and stderr; see [`lines`].
//!
//! `workload zoo PORT`, `workload shm PORT`, `workload files PORT DIR`: see [`zoo`], [`shm`] and [`files`].
//!
//! `workload journal PORT [limit=N] FILE…`, `workload many PORT DIR FILES SPARSE`: see [`journal`] and [`many`].

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what a container prints is its log"
)]

mod board;
mod calls;
mod client;
mod control;
mod crowd;
mod files;
mod journal;
mod lines;
mod load;
mod lock;
mod many;
mod rows;
mod serve;
mod shm;
mod unread;
mod zoo;

use std::process::ExitCode;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["serve", rest @ ..] => serve::serve(rest),
        ["client", address, rest @ ..] => client::client(address, rest),
        ["load", port, targets @ ..] => port_of(port).and_then(|port| load::load(port, targets)),
        ["rows", port, address, count] => {
            port_of(port).and_then(|port| rows::rows(port, address, number(&[*count], 0, 1)?))
        }
        ["crowd", count @ ..] => {
            number(count, 0, 200).and_then(|processes| crowd::crowd(processes, number(count, 1, 25)?))
        }
        ["calls"] => calls::calls(),
        ["unread"] => unread::unread(),
        ["lock", file, until] => lock::lock(file, until),
        ["lines", rest @ ..] => lines::lines(rest),
        ["zoo", port] => port_of(port).and_then(zoo::zoo),
        ["shm", port] => port_of(port).and_then(shm::shm),
        ["files", port, dir] => port_of(port).and_then(|port| files::files(port, dir)),
        ["journal", port, rest @ ..] => port_of(port).and_then(|port| journal::journal(port, rest)),
        ["number", limit, file] => journal::number(limit, file),
        ["many", port, dir, count @ ..] => port_of(port)
            .and_then(|port| many::many(port, dir, number(count, 0, 1000)?, number(count, 1, 1 << 30)?)),
        _ => Err("call it: workload serve|client|load|rows|lines|zoo|shm|files|journal|many …".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("workload: {error}");
            ExitCode::FAILURE
        }
    }
}

fn port_of(word: &str) -> Result<u16, Failure> {
    word.parse().map_err(|_| format!("{word} is no port").into())
}

fn number(words: &[&str], place: usize, default: u64) -> Result<u64, Failure> {
    words.get(place).map_or(Ok(default), |word| {
        word.parse().map_err(|_| format!("{word} is no number").into())
    })
}
