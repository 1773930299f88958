//! The port that answers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::board::Board;
use crate::processes::Processes;
use crate::settings::Settings;
use crate::throughput::{self, Throughput};

/// How long a `verify` may take.
const VERIFIED: Duration = Duration::from_mins(2);

struct Control {
    board: &'static Board,
    slots: Vec<usize>,
    threads: usize,
    throughput: Throughput,
    /// One `verify` at a time.
    turn: Mutex<()>,
    stop: AtomicBool,
    count: AtomicU64,
}

/// Answers until `stop` comes; true if nothing was ever damaged.
pub(crate) fn serve(
    settings: &Settings,
    board: &'static Board,
    mut processes: Processes,
) -> Result<bool, Failure> {
    let control = Arc::new(Control {
        board,
        slots: processes.slots(),
        threads: settings.threads,
        throughput: Throughput::watch(board),
        turn: Mutex::new(()),
        stop: AtomicBool::new(false),
        count: AtomicU64::new(0),
    });
    let listener = TcpListener::bind(("0.0.0.0", settings.port))?;
    println!("answering on port {}", listener.local_addr()?.port());
    let its = Arc::clone(&control);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let control = Arc::clone(&its);
            std::thread::spawn(move || {
                // A client that went away is no failure of the server.
                let _ = control.answer(&stream);
            });
        }
    });
    while !control.stop.load(Ordering::Acquire) {
        processes.reap(board);
        std::thread::sleep(Duration::from_millis(50));
    }
    board.end.store(1, Ordering::Release);
    processes.join(board, Duration::from_secs(10));
    Ok(board.damages() == 0)
}

impl Control {
    fn answer(&self, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut output = stream.try_clone()?;
        for line in BufReader::new(stream).lines() {
            let line = line?;
            let text = match line.trim() {
                "verify" | "stop" => self.verify(),
                "stats" => self.stats(),
                "gap" => self.gaps(),
                "INCR counter" => format!(":{}", self.count.fetch_add(1, Ordering::SeqCst) + 1),
                _ => "?".to_owned(),
            };
            output.write_all(format!("{text}\n").as_bytes())?;
            if line.trim() == "stop" {
                self.stop.store(true, Ordering::Release);
            }
        }
        Ok(())
    }

    fn verify(&self) -> String {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = self.board.wanted.fetch_add(1, Ordering::AcqRel) + 1;
        let began = Instant::now();
        let mut pages = 0;
        for &slot in &self.slots {
            let process = &self.board.processes[slot];
            while process.verified.load(Ordering::Acquire) < wanted {
                if began.elapsed() > VERIFIED {
                    self.board.damaged(&format!("process {slot} does not answer"));
                    break;
                }
                if self.board.damages() > 0 && began.elapsed() > VERIFIED / 12 {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            pages += process.pages.load(Ordering::Acquire);
        }
        match self.board.damages() {
            0 => format!("ok {pages}"),
            count => format!("damaged {count}: {}", self.board.told()),
        }
    }

    fn stats(&self) -> String {
        let rounds: Vec<String> = self
            .slots
            .iter()
            .map(|&slot| {
                self.board.processes[slot]
                    .rounds
                    .load(Ordering::Relaxed)
                    .to_string()
            })
            .collect();
        format!(
            r#"{{"written":{},"damages":{},"rounds":[{}],"windows":{}}}"#,
            throughput::written(self.board),
            self.board.damages(),
            rounds.join(","),
            self.throughput.json()
        )
    }

    fn gaps(&self) -> String {
        let mut gaps = Vec::new();
        for &slot in self.slots.iter().filter(|&&slot| slot < crate::settings::MOST) {
            for (thread, writer) in self.board.processes[slot].writers[..self.threads]
                .iter()
                .enumerate()
            {
                let gap = writer.gap_us.swap(0, Ordering::AcqRel);
                gaps.push(format!(r#"{{"writer":"{slot}.{thread}","gap_us":{gap}}}"#));
            }
        }
        format!("[{}]", gaps.join(","))
    }
}
