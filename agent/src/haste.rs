//! In a freeze a pod stands still, and what this process does then is short: it goes before other work of the node.
//!
//! On two busy processors the messages of the commit alone, which need less than a millisecond of them, took 20 to 60 ms otherwise.

use std::{
    fs,
    sync::{Mutex, PoisonError},
};

use rustix::process::{Pid, setpriority_process};

/// Niceness in haste (nice(2)); a container's usual one is 0.
const HASTY: i32 = -10;
/// How many freezes are under way.
static FREEZES: Mutex<usize> = Mutex::new(0);

/// The agent's threads are in haste for as long as one of these exists.
#[derive(Debug)]
pub struct Haste(());

impl Haste {
    /// A freeze begins.
    pub fn begin() -> Self {
        let mut freezes = FREEZES.lock().unwrap_or_else(PoisonError::into_inner);
        *freezes += 1;
        if *freezes == 1 {
            set_all(HASTY);
        }
        Self(())
    }
}

impl Drop for Haste {
    fn drop(&mut self) {
        let mut freezes = FREEZES.lock().unwrap_or_else(PoisonError::into_inner);
        *freezes -= 1;
        if *freezes == 0 {
            set_all(0);
        }
    }
}

/// Linux counts niceness by thread; new threads inherit it. Best effort: an agent that may not do this is only slower.
fn set_all(nice: i32) {
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return;
    };
    let numbers = threads.flatten().filter_map(|thread| {
        let number: i32 = thread.file_name().to_str()?.parse().ok()?;
        Pid::from_raw(number)
    });
    for thread in numbers {
        // A thread may have ended meanwhile.
        let _ = setpriority_process(Some(thread), nice);
    }
}
