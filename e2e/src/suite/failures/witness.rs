//! A client that counts on one connection and would notice a lost, repeated or refused answer.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::suite::Lab;

/// Pause between two requests.
const PACE: Duration = Duration::from_millis(5);
/// How long an answer may take: longer than any migration that is rolled back by its timeout.
const ANSWER: Duration = Duration::from_mins(2);
/// How long the client may need to get on again after a migration has ended.
const GETS_ON: Duration = Duration::from_secs(20);

/// One connection, asking all the time on a thread of its own.
pub struct Witness {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    answers: u64,
    longest: Duration,
    broken: Option<String>,
}

impl Witness {
    /// Connects from `node` to the Redis at `address`.
    pub async fn connect(lab: &Lab, node: &str, address: String) -> Result<Self> {
        let address: SocketAddr = format!("{address}:6379").parse().context("the pod's address")?;
        let stream = lab.from_node(node, move || connect(address)).await?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let (seen, stop) = (
            Arc::new(Mutex::new(Seen::default())),
            Arc::new(AtomicBool::new(false)),
        );
        let thread = std::thread::spawn({
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            move || {
                if let Err(error) = count(stream, &seen, &stop) {
                    lock(&seen).broken = Some(format!("{error:#}"));
                }
            }
        });
        Ok(Self {
            seen,
            stop,
            thread: Some(thread),
        })
    }

    /// Waits for a few more answers; fails if the connection broke or an answer was wrong.
    pub async fn progress(&self) -> Result<()> {
        let (before, end) = (lock(&self.seen).answers, Instant::now() + GETS_ON);
        loop {
            let seen = lock(&self.seen).clone();
            if let Some(broken) = seen.broken {
                bail!(
                    "the client's connection: {broken} (after {} answers)",
                    seen.answers
                );
            }
            if seen.answers >= before + 3 {
                return Ok(());
            }
            if Instant::now() > end {
                bail!(
                    "the client gets no answer on its connection (after {} answers)",
                    seen.answers
                );
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// Figures so far.
    pub fn summary(&self) -> String {
        let seen = lock(&self.seen).clone();
        format!(
            "{} answers, longest wait {} ms",
            seen.answers,
            seen.longest.as_millis()
        )
    }

    /// Ends it; fails if anything was ever wrong.
    pub async fn stop(mut self) -> Result<()> {
        self.progress().await?;
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread
                .join()
                .map_err(|_| anyhow::anyhow!("the client's thread panicked"))?;
        }
        match lock(&self.seen).broken.take() {
            Some(broken) => bail!("the client's connection: {broken}"),
            None => Ok(()),
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Redis listens a moment after its container runs.
fn connect(address: SocketAddr) -> Result<TcpStream> {
    let end = Instant::now() + GETS_ON;
    loop {
        match TcpStream::connect_timeout(&address, Duration::from_secs(5)) {
            Ok(stream) => return Ok(stream),
            Err(_) if Instant::now() < end => std::thread::sleep(PACE * 10),
            Err(error) => return Err(error).with_context(|| format!("connect to {address}")),
        }
    }
}

fn count(mut stream: TcpStream, seen: &Mutex<Seen>, stop: &AtomicBool) -> Result<()> {
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        stream.write_all(b"INCR witness\r\n").context("write")?;
        line.clear();
        if answers.read_line(&mut line).context("read")? == 0 {
            bail!("closed by the server");
        }
        let mut seen = lock(seen);
        let wanted = format!(":{}", seen.answers + 1);
        if line.trim_end() != wanted {
            bail!("`{}` came instead of `{wanted}`", line.trim_end());
        }
        seen.answers += 1;
        seen.longest = seen.longest.max(asked.elapsed());
        drop(seen);
        std::thread::sleep(PACE);
    }
    Ok(())
}
