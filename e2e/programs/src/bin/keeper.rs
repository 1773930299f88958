//! `keeper PORT NAME PROGRAM [ARGUMENT…] [-- NAME PROGRAM …]`: starts programs that say on stdout how they are, and tells the last line of each.
//!
//! To each line on PORT it answers `NAME=LINE`, separated by tabs. A line that begins with `BROKEN` or `CANNOT` stays; the end of a program is a
//! line of its own: `BROKEN: ended: …`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what a container prints is its log"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The last line of one program.
#[derive(Clone, Default)]
struct Line(Arc<Mutex<String>>);

impl Line {
    fn set(&self, text: &str) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !last.starts_with("BROKEN") && !last.starts_with("CANNOT") {
            *last = text.replace('\t', " ");
        }
    }

    fn get(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match keep(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("keeper: {error}");
            ExitCode::FAILURE
        }
    }
}

fn keep(arguments: &[String]) -> Result<(), Failure> {
    let (port, programs) = arguments
        .split_first()
        .ok_or("call it: keeper PORT NAME PROGRAM …")?;
    let listener = TcpListener::bind(("0.0.0.0", port.parse()?))?;
    let mut lines = Vec::new();
    for program in programs.split(|word| word == "--") {
        let [name, command, rest @ ..] = program else {
            return Err("a program has a name and a path".into());
        };
        let line = Line::default();
        start(command, rest, line.clone())?;
        lines.push((name.clone(), line));
    }
    for stream in listener.incoming() {
        // A client that went away is no failure of the server.
        let _ = answer(stream?, &lines);
    }
    Ok(())
}

fn start(program: &str, arguments: &[String], line: Line) -> Result<(), Failure> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    let output = child.stdout.take().ok_or("no stdout")?;
    std::thread::spawn(move || {
        for text in BufReader::new(output).lines().map_while(Result::ok) {
            if !text.starts_with("ok ") {
                println!("{text}");
            }
            line.set(&text);
        }
        match child.wait() {
            Ok(status) => line.set(&format!("BROKEN: ended: {status}")),
            Err(error) => line.set(&format!("BROKEN: ended: {error}")),
        }
    });
    Ok(())
}

fn answer(stream: TcpStream, lines: &[(String, Line)]) -> std::io::Result<()> {
    let mut output = stream.try_clone()?;
    for _ in BufReader::new(stream).lines().map_while(Result::ok) {
        let told: Vec<String> = lines
            .iter()
            .map(|(name, line)| format!("{name}={}", line.get()))
            .collect();
        output.write_all(format!("{}\n", told.join("\t")).as_bytes())?;
    }
    Ok(())
}
