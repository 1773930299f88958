//! A server whose memory can be checked, and a client that notices every pause.
//!
//! `workload serve [PORT [MEBIBYTES]]`: answers each line that a client sends: `incr` with the next number, `sum` with
//! a checksum of its memory, anything else with `?`.
//!
//! `workload client ADDRESS [SECONDS]`: sends `incr` on one connection all the time; at the end it prints how many
//! answers came, whether each was the next number, and the longest wait for one, in microseconds.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what a container prints is its log"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["serve", rest @ ..] => serve(rest),
        ["client", address, rest @ ..] => client(address, rest),
        _ => Err("call it: workload serve [PORT [MEBIBYTES]] | workload client ADDRESS [SECONDS]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("workload: {error}");
            ExitCode::FAILURE
        }
    }
}

fn number(words: &[&str], place: usize, default: u64) -> Result<u64, Failure> {
    words.get(place).map_or(Ok(default), |word| {
        word.parse().map_err(|_| format!("{word} is no number").into())
    })
}

fn serve(words: &[&str]) -> Result<(), Failure> {
    let port = u16::try_from(number(words, 0, 7000)?)?;
    let size = usize::try_from(number(words, 1, 16)?)? << 20;
    let memory: Arc<Vec<u64>> = Arc::new(pattern(size / 8));
    let count = Arc::new(AtomicU64::new(0));
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    println!("serving on port {port} with {size} bytes, sum {}", sum(&memory));
    for stream in listener.incoming() {
        let (stream, memory, count) = (stream?, Arc::clone(&memory), Arc::clone(&count));
        std::thread::spawn(move || {
            // A client that went away is no failure of the server.
            let _ = answer(stream, &memory, &count);
        });
    }
    Ok(())
}

/// Every word differs from its neighbours, so that a page that is lost, repeated or exchanged changes the sum.
fn pattern(words: usize) -> Vec<u64> {
    (1..=words as u64)
        .map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .collect()
}

fn sum(memory: &[u64]) -> u64 {
    memory
        .iter()
        .fold(0, |sum, &word| sum.rotate_left(5).wrapping_add(word))
}

fn answer(stream: TcpStream, memory: &[u64], count: &AtomicU64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut output = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        let text = match line?.trim() {
            "incr" => format!("{}\n", count.fetch_add(1, Ordering::SeqCst) + 1),
            "sum" => format!("{}\n", sum(memory)),
            _ => "?\n".to_owned(),
        };
        output.write_all(text.as_bytes())?;
    }
    Ok(())
}

fn client(address: &str, words: &[&str]) -> Result<(), Failure> {
    let time = Duration::from_secs(number(words, 0, 10)?);
    let mut output = TcpStream::connect(address)?;
    output.set_nodelay(true)?;
    let mut input = BufReader::new(output.try_clone()?);
    let started = Instant::now();
    let (mut count, mut last, mut in_order, mut longest) = (0_u64, 0_u64, true, Duration::ZERO);
    while started.elapsed() < time {
        let sent = Instant::now();
        output.write_all(b"incr\n")?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Err("the server closed the connection".into());
        }
        longest = longest.max(sent.elapsed());
        let value: u64 = line.trim().parse()?;
        in_order &= last == 0 || value == last + 1;
        last = value;
        count += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    println!(
        "answers {count} in-order {in_order} longest-us {}",
        longest.as_micros()
    );
    Ok(())
}
