//! Many small files and a large one that is nearly all holes.
//!
//! `workload many PORT DIR FILES SPARSE` makes FILES small files and one of SPARSE bytes with a few pieces of data, some of which it writes again and again.
//! The control port answers `sum` with a checksum of all names, lengths, modes, times and contents but those of the piece that is being
//! written, and with the bytes that the large file takes on the disk; anything else with how often that piece has been written, or what was wrong with it.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::{Failure, control};

const PER_DIRECTORY: u64 = 500;
/// Where the piece that is written again and again begins, and how long it is, in bytes.
const BUSY: (u64, usize) = (1 << 20, 8192);
const PACE: Duration = Duration::from_millis(5);

/// Makes the files and answers; comes back only if that fails.
pub(crate) fn many(port: u16, dir: &str, count: u64, sparse: u64) -> Result<(), Failure> {
    let dir = PathBuf::from(dir);
    for number in 0..count {
        let place = dir.join(format!("d{}", number / PER_DIRECTORY));
        if number % PER_DIRECTORY == 0 {
            fs::create_dir_all(&place)?;
        }
        fs::write(
            place.join(format!("f{number}")),
            format!("content of {number}\n").repeat(9),
        )?;
    }
    let path = dir.join("sparse");
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(&path)?;
    file.set_len(sparse)?;
    for piece in 0..64_u64 {
        let bytes = vec![u8::try_from(piece)? + 1; 100_000];
        file.write_all_at(&bytes, sparse / 64 * piece + 3 * BUSY.0 + piece * 777)?;
    }
    file.sync_all()?;
    let told = Arc::new(Mutex::new("0".to_owned()));
    std::thread::spawn({
        let told = told.clone();
        move || {
            let mut round = 0_u64;
            loop {
                let said = match again(&file, round) {
                    Ok(()) => (round + 1).to_string(),
                    Err(error) => format!("after {round} rounds: {error}"),
                };
                let over = said.contains(' ');
                *told.lock().unwrap_or_else(PoisonError::into_inner) = said;
                if over {
                    return;
                }
                round += 1;
                std::thread::sleep(PACE);
            }
        }
    });
    control::answer_on(port, move |line| {
        if line != "sum" {
            return told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        }
        let blocks = fs::metadata(&path)
            .map(|about| about.blocks() * 512)
            .unwrap_or_default();
        match sum(&dir, &path) {
            Ok(sum) => format!("{sum:016x} {blocks}"),
            Err(error) => error.to_string(),
        }
    })
}

/// Fails if the piece is not as the last round left it.
fn again(file: &File, round: u64) -> Result<(), Failure> {
    let of = |round: u64| [round.to_le_bytes()[0]; BUSY.1];
    let mut found = [0; BUSY.1];
    file.read_exact_at(&mut found, BUSY.0)?;
    if round > 0 && found != of(round - 1) {
        return Err("it is not what was written last".into());
    }
    Ok(file.write_all_at(&of(round), BUSY.0)?)
}

fn sum(dir: &Path, sparse: &Path) -> Result<u64, Failure> {
    let mut hash = Hash(0xcbf2_9ce4_8422_2325);
    let mut pending = vec![dir.to_path_buf()];
    while let Some(dir) = pending.pop() {
        let mut entries: Vec<PathBuf> = fs::read_dir(&dir)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        entries.sort();
        for path in entries {
            let about = fs::symlink_metadata(&path)?;
            hash.add(path.as_os_str().as_encoded_bytes());
            hash.add(&about.mode().to_le_bytes());
            if about.is_dir() {
                pending.push(path);
                continue;
            }
            hash.add(&about.len().to_le_bytes());
            if path == sparse {
                pieces(&File::open(&path)?, about.len(), &mut hash)?;
            } else {
                hash.add(&about.mtime().to_le_bytes());
                hash.add(&about.mtime_nsec().to_le_bytes());
                hash.add(&fs::read(&path)?);
            }
        }
    }
    Ok(hash.0)
}

/// The data of a file where it has some, but for the piece that is being written.
fn pieces(file: &File, length: u64, hash: &mut Hash) -> Result<(), Failure> {
    let mut at = BUSY.0 + BUSY.1 as u64;
    while at < length {
        let seek = |at: u64, whence| {
            // SAFETY: a call on an open descriptor that takes no memory.
            let found = unsafe { libc::lseek(file.as_raw_fd(), at.cast_signed(), whence) };
            u64::try_from(found).ok()
        };
        let Some(start) = seek(at, libc::SEEK_DATA) else {
            break;
        };
        let end = seek(start, libc::SEEK_HOLE).unwrap_or(length).min(length);
        let mut bytes = vec![0; usize::try_from(end - start)?];
        file.read_exact_at(&mut bytes, start)?;
        // Blocks of zeros may have come or gone with the way a file system allocates.
        for (index, byte) in bytes.iter().enumerate().filter(|(_, byte)| **byte != 0) {
            hash.add(&(start + index as u64).to_le_bytes());
            hash.add(&[*byte]);
        }
        at = end;
    }
    Ok(())
}

/// FNV-1a.
struct Hash(u64);

impl Hash {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
