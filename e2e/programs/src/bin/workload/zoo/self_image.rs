//! What a process is: memory, folder, mask, limits, identity, host name.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{getgid, getgroups, gethostname, getpid, getuid};

use crate::Failure;
use crate::board::{Board, same};

/// 16 MiB, of which each round changes some pages and looks at all.
const WORDS: usize = 2 << 20;

pub(super) fn keep(board: &Board) -> Result<(), Failure> {
    let folder = "/tmp/zoo-folder";
    fs::create_dir_all(folder)?;
    std::env::set_current_dir(folder)?;
    umask(Mode::from_bits_truncate(0o027));
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(777), hard)?;
    let seen = identity()?;
    board.keep("identity", move |_| same("identity", identity()?, seen.clone()));
    let mut memory: Vec<u64> = (0..WORDS as u64).collect();
    let mut expected: u64 = memory.iter().fold(0, |sum, &word| sum.wrapping_add(word));
    board.keep("memory", move |round| {
        let found = memory.iter().fold(0_u64, |sum, &word| sum.wrapping_add(word));
        same("its sum", found, expected)?;
        for step in 0..64 {
            let at = (usize::try_from(round)? * 8191 + step * 512 * 61) % WORDS;
            memory[at] = memory[at].wrapping_add(round);
            expected = expected.wrapping_add(round);
        }
        Ok(())
    });
    Ok(())
}

fn identity() -> Result<String, Failure> {
    let mask = umask(Mode::empty());
    umask(mask);
    Ok(format!(
        "pid {} uid {} gid {} groups {:?} host {} folder {} umask {:o} files {:?} status {:?}",
        getpid(),
        getuid(),
        getgid(),
        getgroups()?,
        gethostname()?.display(),
        std::env::current_dir()?.display(),
        mask.bits(),
        getrlimit(Resource::RLIMIT_NOFILE)?,
        status()?,
    ))
}

/// Capabilities, seccomp and the like.
fn status() -> Result<Vec<String>, Failure> {
    let wanted = [
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp:",
        "Name",
    ];
    Ok(fs::read_to_string("/proc/self/status")?
        .lines()
        .filter(|line| wanted.iter().any(|name| line.starts_with(name)))
        .map(str::to_owned)
        .collect())
}
