//! A port that answers lines with lines, so that a test can ask what was found.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use crate::Failure;

/// Answer every line that comes to `port` by what `answer` makes of it. Comes back only if the port cannot be had.
pub(crate) fn answer_on(
    port: u16,
    answer: impl Fn(&str) -> String + Send + Sync + Clone + 'static,
) -> Result<(), Failure> {
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    println!("answering on port {port}");
    for stream in listener.incoming() {
        let (stream, answer) = (stream?, answer.clone());
        std::thread::spawn(move || -> std::io::Result<()> {
            let mut output = stream.try_clone()?;
            for line in BufReader::new(stream).lines() {
                output.write_all(format!("{}\n", answer(line?.trim())).as_bytes())?;
            }
            Ok(())
        });
    }
    Ok(())
}
