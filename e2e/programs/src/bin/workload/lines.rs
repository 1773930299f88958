//! Numbered lines, so that a test finds out which of them a log lacks, has twice, or has in another order.
//!
//! `whole`: on stdout and stderr by turns, each with numbers of its own. `halves`: on stdout only, each line in two writes with time between them, so that there is
//! nearly always one that is not finished; every 40th is longer than what a container runtime takes for one line. `much MEBIBYTES`: so much at once, and then as `whole`.

use std::io::{Write, stderr, stdout};
use std::time::Duration;

use crate::{Failure, number};

/// Time between two writes: 200 lines a second.
const PAUSE: Duration = Duration::from_micros(2_500);
/// Bytes of a line that is too long for one.
const LONG: usize = 20_000;

pub(crate) fn lines(words: &[&str]) -> Result<(), Failure> {
    match words {
        ["whole"] => whole(1),
        ["halves"] => halves(),
        ["much", rest @ ..] => whole(much(number(rest, 0, 1)? << 20)? + 1),
        _ => Err("call it: workload lines whole|halves|much MEBIBYTES".into()),
    }
}

/// What a line says beside its number.
fn filling(number: u64) -> String {
    "x".repeat(if number.is_multiple_of(40) { LONG } else { 20 })
}

fn whole(first: u64) -> Result<(), Failure> {
    for number in 1.. {
        stdout().write_all(format!("out {}\n", first + number - 1).as_bytes())?;
        std::thread::sleep(PAUSE);
        stderr().write_all(format!("err {number}\n").as_bytes())?;
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn halves() -> Result<(), Failure> {
    for number in 1.. {
        let line = format!("half {number} {}.\n", filling(number));
        let (first, second) = line.split_at(line.len() / 2);
        for half in [first, second] {
            stdout().write_all(half.as_bytes())?;
            // Else the library would wait for the newline.
            stdout().flush()?;
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// Lines of so many bytes in all, as fast as they are taken; gives how many they are.
fn much(bytes: u64) -> Result<u64, Failure> {
    let mut written = 0;
    for number in 1.. {
        let line = format!("out {number} {}\n", "y".repeat(200));
        written += line.len() as u64;
        stdout().write_all(line.as_bytes())?;
        if written >= bytes {
            return Ok(number);
        }
    }
    Ok(0)
}
