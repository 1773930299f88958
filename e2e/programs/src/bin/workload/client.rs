//! One connection to `serve`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::{Failure, number};

pub(crate) fn client(address: &str, words: &[&str]) -> Result<(), Failure> {
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
