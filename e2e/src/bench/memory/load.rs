//! Writing pages of 4 KiB into a Redis at a pace.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::cell::{Cell, Pattern};
use super::windows::Windows;
use crate::bench::client::{Connection, now_us};

const PAGE: usize = 4096;
/// Pages of one value, as [`Connection::fill`] makes them.
const OF_A_VALUE: u64 = 256;
/// Requests that are sent before their answers are awaited.
const AT_ONCE: u64 = 32;
const REST: Duration = Duration::from_millis(2);
/// What a freeze has held up is not made up for.
const LONGEST: Duration = Duration::from_millis(50);
/// How often the count is noted.
const WINDOW_US: u64 = 100_000;

/// Writes until it is dropped.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    windows: Arc<Mutex<Windows>>,
}

impl Load {
    /// On a connection of its own, as the cell says.
    pub(super) fn start(connection: Connection, cell: Cell) -> Self {
        let load = Self {
            stop: Arc::default(),
            windows: Arc::default(),
        };
        let (stop, windows) = (Arc::clone(&load.stop), Arc::clone(&load.windows));
        // A connection that breaks shows as throughput that ends; the client's own tells of it as an error.
        std::thread::spawn(move || write(connection, cell, &stop, &windows));
        load
    }

    /// Pages written by when.
    pub(super) fn windows(&self) -> Windows {
        self.windows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn write(mut connection: Connection, cell: Cell, stop: &AtomicBool, windows: &Mutex<Windows>) -> Result<()> {
    let pages = u64::from(cell.mebibytes) * OF_A_VALUE;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let noise: Vec<u8> = (0..16 * PAGE).map(|_| next().to_le_bytes()[3]).collect();
    let rate = u128::from(cell.rate) * 1_000_000;
    let (mut last, mut rest, mut written, mut noted) = (Instant::now(), 0_u128, 0_u64, 0_u64);
    let mut request = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(REST);
        let now = Instant::now();
        rest += rate * now.duration_since(last).min(LONGEST).as_nanos();
        last = now;
        let one = PAGE as u128 * 1_000_000_000;
        let mut due = u64::try_from(rest / one)?;
        rest %= one;
        while due > 0 && !stop.load(Ordering::Relaxed) {
            let batch = due.min(AT_ONCE);
            due -= batch;
            request.clear();
            for _ in 0..batch {
                let page = match cell.pattern {
                    Pattern::Append => written % pages,
                    Pattern::Hot if next() % 10 > 0 => next() % (pages / 10).max(1),
                    Pattern::Hot | Pattern::Uniform => next() % pages,
                };
                written += 1;
                let (key, offset) = (
                    format!("k{}", page / OF_A_VALUE),
                    (page % OF_A_VALUE * PAGE as u64).to_string(),
                );
                let from = usize::try_from(next() % (15 * PAGE as u64))?;
                request.extend_from_slice(
                    format!(
                        "*4\r\n$8\r\nSETRANGE\r\n${}\r\n{key}\r\n${}\r\n{offset}\r\n${PAGE}\r\n",
                        key.len(),
                        offset.len()
                    )
                    .as_bytes(),
                );
                request.extend_from_slice(&noise[from..from + PAGE]);
                request.extend_from_slice(b"\r\n");
            }
            connection.pipeline(&request, batch)?;
        }
        let now = now_us();
        if now >= noted + WINDOW_US {
            noted = now;
            windows
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((now, written));
        }
    }
    Ok(())
}
