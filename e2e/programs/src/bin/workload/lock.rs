//! `workload lock FILE UNTIL`: holds a lock (`flock(2)`) on FILE until there is a file UNTIL, and goes on without it.

use std::fs::File;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::Failure;

/// How often it looks for the end.
const PAUSE: Duration = Duration::from_millis(100);

pub fn lock(path: &str, until: &str) -> Result<(), Failure> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    file.lock()?;
    while !Path::new(until).exists() {
        sleep(PAUSE);
    }
    file.unlock()?;
    loop {
        sleep(PAUSE);
    }
}
