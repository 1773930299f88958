//! Mappings that move, go, come back and change, each of them with known content at any time.

mod back;
mod dropped;
mod file;
mod guarded;
mod huge;
mod moved;
mod threads;

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::Failure;
use crate::board::Board;
use crate::shared::Shared;

/// Rest between two steps: most of the time things lie as they were left.
const REST: Duration = Duration::from_millis(2);

/// One way to treat memory.
trait Ways {
    /// Looks at what the last step has left, and goes on.
    fn step(&mut self) -> Result<(), Failure>;
}

/// Treats memory in all ways, in turns, until the program ends or something is damaged.
pub(crate) fn churn(process: usize, board: &'static Board, shared: &'static Shared) {
    if let Err(error) = all(process, board, shared) {
        board.damaged(&format!("process {process}: {error}"));
    }
}

fn all(process: usize, board: &'static Board, shared: &'static Shared) -> Result<(), Failure> {
    let name = |kind: u64| (0x400 + (process as u64) * 16 + kind) << 32;
    let mut ways: Vec<(&str, Box<dyn Ways>)> = vec![
        ("mremap", Box::new(moved::Moved::new(name(0))?)),
        ("munmap and mmap", Box::new(back::Back::new(name(1))?)),
        ("MADV_DONTNEED", Box::new(dropped::Dropped::new(name(2))?)),
        ("huge pages", Box::new(huge::Huge::new(name(3))?)),
        ("mprotect", Box::new(guarded::Guarded::new(name(4))?)),
        (
            "a private mapping of a file",
            Box::new(file::Mapped::new(name(5))?),
        ),
        ("threads", Box::new(threads::Threads::default())),
    ];
    for round in 1.. {
        for (what, way) in &mut ways {
            if board.ends() {
                return Ok(());
            }
            way.step().map_err(|error| format!("{what}: {error}"))?;
            std::thread::sleep(REST);
        }
        shared.round(process, round)?;
        board.processes[process].rounds.store(round, Ordering::Relaxed);
    }
    Ok(())
}
