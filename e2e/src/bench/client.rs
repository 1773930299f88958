//! One client on one TCP connection: INCR, answer, INCR, … with the time of every answer looked at.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

/// Pause between an answer and the next request.
const PACE: Duration = Duration::from_millis(1);
/// An answer that takes longer than this never comes.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a client has seen since it was last asked. Times are microseconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// Requests that were answered.
    pub answers: u64,
    /// The largest time between two answers.
    pub gap_us: u64,
    /// When the answer came that ended that gap.
    pub gap_end_us: u64,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    busy: AtomicBool,
    seen: Mutex<Seen>,
}

/// A client in a thread of its own.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
}

/// The time of the wall clock, in microseconds since 1970.
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// A connection that answers one request at a time.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// Takes a fresh connection to a Redis server.
    pub fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            reader: BufReader::new(stream),
        })
    }

    /// One command, its answer being one line.
    pub fn ask(&mut self, command: &str) -> Result<String> {
        self.reader
            .get_mut()
            .write_all(format!("{command}\r\n").as_bytes())?;
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            bail!("Redis closed the connection");
        }
        if line.starts_with('-') {
            bail!("Redis answers `{}` to `{command}`", line.trim());
        }
        Ok(line.trim().to_owned())
    }

    /// Requests in one go, whose answers are so many lines.
    pub fn pipeline(&mut self, requests: &[u8], answers: u64) -> Result<()> {
        self.reader.get_mut().write_all(requests)?;
        let mut line = String::new();
        for _ in 0..answers {
            line.clear();
            if self.reader.read_line(&mut line)? == 0 {
                bail!("Redis closed the connection");
            }
            if line.starts_with('-') {
                bail!("Redis answers `{}`", line.trim());
            }
        }
        Ok(())
    }

    /// Fills the server with `mebibytes` values of one MiB, all different.
    pub fn fill(&mut self, mebibytes: u32) -> Result<()> {
        for number in 0..mebibytes {
            let unit = format!("{number:08x}");
            let body = unit.repeat((1 << 20) / unit.len());
            let key = format!("k{number}");
            let request = format!(
                "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{body}",
                key.len(),
                body.len()
            );
            let answer = self.ask(&request)?;
            if answer != "+OK" {
                bail!("Redis answers `{answer}` to SET");
            }
        }
        Ok(())
    }
}

impl Client {
    /// Starts a client, idle at first.
    pub fn start(mut connection: Connection) -> Self {
        let shared = Arc::new(Shared::default());
        let its = Arc::clone(&shared);
        let thread = std::thread::spawn(move || work(&mut connection, &its));
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// Begin to ask, and to count from nothing.
    pub fn begin(&self) {
        *self.seen() = Seen::default();
        self.shared.busy.store(true, Ordering::Relaxed);
    }

    /// Cease to ask; gives what was seen since [`Client::begin`]. Fails if the connection or an answer was lost, or an
    /// answer repeated.
    pub fn end(&mut self) -> Result<Seen> {
        self.shared.busy.store(false, Ordering::Relaxed);
        self.check()?;
        Ok(*self.seen())
    }

    /// Wait until an answer has come that was later than `after_us`; gives what was seen.
    pub fn answered_after(&mut self, after_us: u64) -> Result<Seen> {
        let began = std::time::Instant::now();
        loop {
            self.check()?;
            let seen = *self.seen();
            if seen.gap_end_us >= after_us {
                return Ok(seen);
            }
            if began.elapsed() > PATIENCE {
                bail!("the client's connection is silent");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn check(&mut self) -> Result<()> {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(thread) = self.thread.take()
        {
            match thread.join() {
                Ok(ended) => ended.context("the client's connection")?,
                Err(_) => bail!("the client panicked"),
            }
        }
        if self.thread.is_none() {
            bail!("the client has ended");
        }
        Ok(())
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The thread looks at it before each request; nobody waits for one that never gets its answer.
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn work(connection: &mut Connection, shared: &Shared) -> Result<()> {
    let mut expected: u64 = 0;
    let mut last = None;
    while !shared.stop.load(Ordering::Relaxed) {
        if !shared.busy.load(Ordering::Relaxed) {
            last = None;
            std::thread::sleep(Duration::from_millis(10));
            continue;
        }
        let answer = connection.ask("INCR counter")?;
        let now = now_us();
        let value: u64 = answer
            .trim_start_matches(':')
            .parse()
            .with_context(|| format!("`{answer}`"))?;
        expected += 1;
        if value != expected {
            bail!("INCR number {expected} was answered with {value}: requests were lost or repeated");
        }
        let mut seen = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.answers += 1;
        if let Some(last) = last {
            let gap = now.saturating_sub(last);
            if gap > seen.gap_us {
                seen.gap_us = gap;
                seen.gap_end_us = now;
            }
        }
        drop(seen);
        last = Some(now);
        std::thread::sleep(PACE);
    }
    Ok(())
}
