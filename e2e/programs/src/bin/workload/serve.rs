//! A counter, and memory with a checksum.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Failure, number};

pub(crate) fn serve(words: &[&str]) -> Result<(), Failure> {
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
