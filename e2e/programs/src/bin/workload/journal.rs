//! Processes that each write one number after the other to a file, and tell at once if it is not there.
//!
//! `workload journal PORT [limit=N] FILE…` starts one process for each file. It appends a record with the next number and a checksum, calls
//! fsync, and writes the number into a page of `FILE.page` that it has mapped; before each it looks whether the file is as long as it must be and ends
//! with what it wrote last. At the limit it writes no more, but goes on looking.
//!
//! The control port answers `names` with the files, anything else with `ok FILE=N …` if every file holds each number from 1 to N once and in
//! order, and its page says the same; else with what is wrong.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::{Failure, control};

/// Length of a record: ten digits, a blank, sixteen digits, a line feed.
const RECORD: usize = 28;
/// Pause between two numbers.
const PACE: Duration = Duration::from_millis(3);

/// Starts the writers and answers; comes back only if that fails.
pub(crate) fn journal(port: u16, words: &[&str]) -> Result<(), Failure> {
    let (limit, files) = match words {
        [limit, files @ ..] if limit.starts_with("limit=") => (limit.trim_start_matches("limit="), files),
        files => ("0", files),
    };
    let program = std::env::current_exe()?;
    for file in files {
        let mut child = Command::new(&program).args(["number", limit, file]).spawn()?;
        let file = (*file).to_owned();
        std::thread::spawn(move || {
            let ended = child.wait();
            let _ = std::fs::write(
                format!("{file}.damage"),
                format!("its writer has ended: {ended:?}"),
            );
        });
    }
    let files: Arc<[String]> = files.iter().map(|&file| file.to_owned()).collect();
    control::answer_on(port, move |_| {
        let mut text = "ok".to_owned();
        for file in files.iter() {
            match verified(file) {
                Ok(count) => text.extend([" ", file, "=", &count.to_string()]),
                Err(damage) => return format!("{file}: {damage}"),
            }
        }
        text
    })
}

/// One writer; it ends with what is wrong.
pub(crate) fn number(limit: &str, path: &str) -> Result<(), Failure> {
    let limit: u64 = limit.parse()?;
    let result = write_on(limit, path);
    if let Err(error) = &result {
        std::fs::write(format!("{path}.damage"), error.to_string())?;
    }
    result
}

fn write_on(limit: u64, path: &str) -> Result<(), Failure> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .open(path)?;
    let page = Page::new(&format!("{path}.page"))?;
    let mut count = 0_u64;
    loop {
        let length = file.metadata()?.len();
        if length != count * RECORD as u64 {
            return Err(format!("{length} bytes after {count} numbers").into());
        }
        // Also by its path: the file that is open must be the one that has the name.
        let named = std::fs::metadata(path)?.len();
        if named != length {
            return Err(format!("{named} bytes by its name, {length} by its descriptor").into());
        }
        if count > 0 {
            let mut last = [0; RECORD];
            file.read_exact_at(&mut last, length - RECORD as u64)?;
            if last != record(count) {
                return Err(format!("it does not end with {count}").into());
            }
        }
        if page.get() != count {
            return Err(format!("the page says {} and not {count}", page.get()).into());
        }
        if limit == 0 || count < limit {
            count += 1;
            file.write_all(&record(count))?;
            file.sync_data()?;
            page.set(count);
        }
        std::thread::sleep(PACE);
    }
}

/// How many numbers the file holds.
fn verified(path: &str) -> Result<u64, Failure> {
    if let Ok(damage) = std::fs::read_to_string(format!("{path}.damage")) {
        return Err(damage.into());
    }
    let page = std::fs::read(format!("{path}.page"))?;
    let page = u64::from_le_bytes(page.get(..8).ok_or("a short page")?.try_into()?);
    let bytes = std::fs::read(Path::new(path))?;
    let mut count = 0;
    // The last one may be about to be written.
    for found in bytes.chunks_exact(RECORD) {
        count += 1;
        if found != record(count) {
            return Err(format!(
                "{:?} is there instead of number {count}",
                String::from_utf8_lossy(found)
            )
            .into());
        }
    }
    // The page was read first, and is written after the file.
    if page > count {
        return Err(format!("the page says {page}, the file ends with {count}").into());
    }
    Ok(count)
}

fn record(number: u64) -> [u8; RECORD] {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in number.to_le_bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    let mut record = [0; RECORD];
    // It fits: ten and sixteen digits.
    let _ = writeln!(record.as_mut_slice(), "{number:010} {hash:016x}");
    record
}

/// A page of a file, mapped shared.
struct Page(*mut u64);

impl Page {
    fn new(path: &str) -> Result<Self, Failure> {
        let file: File = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(path)?;
        file.set_len(4096)?;
        // SAFETY: a new mapping of a whole page of an open file, at an address that the kernel chooses.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error().into());
        }
        Ok(Self(at.cast()))
    }

    fn get(&self) -> u64 {
        // SAFETY: the page is mapped for as long as the process lives, and aligned.
        u64::from_le(unsafe { self.0.read_volatile() })
    }

    fn set(&self, number: u64) {
        // SAFETY: as above; this thread alone writes.
        unsafe { self.0.write_volatile(number.to_le()) }
    }
}
