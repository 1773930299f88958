//! Connections to Redis with INCR all the time, each on a key of its own, so that a number that is missing or comes
//! twice shows at once. A connection that breaks is counted and made again.
//!
//! The control port answers `report` with JSON, `reset` by forgetting the largest gaps, `stop` by closing all
//! connections (and the report).

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{Failure, control};

/// Without an answer for so long, a connection counts as broken.
const PATIENCE: Duration = Duration::from_secs(40);
/// Between an answer and the next question.
const REST: Duration = Duration::from_millis(2);

#[derive(Default)]
struct Record {
    name: String,
    answers: u64,
    last: u64,
    lost: u64,
    repeated: u64,
    reconnects: u64,
    longest: Duration,
    trouble: String,
    closed: bool,
}

/// Run until the container is ended; `targets` are `NAME=ADDRESS:PORT`.
pub(crate) fn load(port: u16, targets: &[&str]) -> Result<(), Failure> {
    let stopped = Arc::new(AtomicBool::new(false));
    let mut records = Vec::new();
    for target in targets {
        let (name, address) = target.split_once('=').ok_or("a target is NAME=ADDRESS:PORT")?;
        let record = Arc::new(Mutex::new(Record {
            name: name.to_owned(),
            ..Record::default()
        }));
        records.push(Arc::clone(&record));
        let (stopped, address) = (Arc::clone(&stopped), address.to_owned());
        std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                if let Err(error) = one_connection(&address, &record, &stopped) {
                    let mut record = locked(&record);
                    // Before the first answer there is nothing to lose: the server may still be starting.
                    if record.answers > 0 {
                        record.reconnects += 1;
                        record.trouble = error.to_string();
                    }
                    drop(record);
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
            locked(&record).closed = true;
        });
    }
    control::answer_on(port, move |line| {
        if line == "stop" {
            stopped.store(true, Ordering::SeqCst);
            let began = Instant::now();
            while began.elapsed() < PATIENCE && records.iter().any(|record| !locked(record).closed) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let mut texts = Vec::new();
        for record in &records {
            let mut record = locked(record);
            texts.push(json(&record));
            if line == "reset" {
                record.longest = Duration::ZERO;
            }
        }
        format!("[{}]", texts.join(","))
    })
}

fn one_connection(address: &str, record: &Mutex<Record>, stopped: &AtomicBool) -> Result<(), Failure> {
    let mut output = TcpStream::connect(address)?;
    output.set_nodelay(true)?;
    output.set_read_timeout(Some(PATIENCE))?;
    output.set_write_timeout(Some(PATIENCE))?;
    let mut input = BufReader::new(output.try_clone()?);
    let key = format!("load:{}", locked(record).name);
    let question = format!("*2\r\n$4\r\nINCR\r\n${}\r\n{key}\r\n", key.len());
    let mut before: Option<Instant> = None;
    while !stopped.load(Ordering::SeqCst) {
        output.write_all(question.as_bytes())?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Err("the server closed the connection".into());
        }
        let now = Instant::now();
        let value: u64 = line
            .trim()
            .strip_prefix(':')
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| format!("the server said {line:?}"))?;
        let mut record = locked(record);
        if record.answers > 0 {
            record.lost += value.saturating_sub(record.last + 1);
            record.repeated += (record.last + 1).saturating_sub(value);
        }
        record.answers += 1;
        record.last = value;
        if let Some(before) = before {
            record.longest = record.longest.max(now - before);
        }
        before = Some(now);
        drop(record);
        std::thread::sleep(REST);
    }
    Ok(())
}

fn locked(record: &Mutex<Record>) -> std::sync::MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

fn json(record: &Record) -> String {
    let plain = |text: &str| text.replace(['"', '\\', '\n', '\r'], " ");
    format!(
        r#"{{"name":"{}","answers":{},"last":{},"lost":{},"repeated":{},"reconnects":{},"longest_us":{},"trouble":"{}"}}"#,
        plain(&record.name),
        record.answers,
        record.last,
        record.lost,
        record.repeated,
        record.reconnects,
        record.longest.as_micros(),
        plain(&record.trouble),
    )
}
