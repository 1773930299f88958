//! Child processes: pipes, shared memory, sessions, a zombie, a lock held against the child.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{ForkResult, Pid, fork, getpgid, getpid, getppid, getsid, pipe, setsid};

use crate::Failure;
use crate::board::{Board, same};

pub(super) struct Family {
    child: Pid,
    zombie: Pid,
    to_child: File,
    from_child: File,
    full: (File, File),
    shared: &'static AtomicU64,
}

/// How much lies in the pipe that is never empty.
const IN_PIPE: usize = 40_000;

/// Fork them. Must be called before there is any thread.
pub(super) fn start() -> Result<Family, Failure> {
    let shared = shared_counter()?;
    let (to_child, questions) = pipe_of_files()?;
    let (answers, from_child) = pipe_of_files()?;
    // SAFETY: there is one thread only, so the child may do whatever a process may.
    let child = match unsafe { fork() }? {
        ForkResult::Child => {
            drop((to_child, from_child));
            let code = i32::from(live(questions, answers, shared).is_err());
            std::process::exit(code)
        }
        ForkResult::Parent { child } => child,
    };
    drop((questions, answers));
    // SAFETY: as above.
    let zombie = match unsafe { fork() }? {
        ForkResult::Child => std::process::exit(7),
        ForkResult::Parent { child } => child,
    };
    // It is asked for without waiting from now on, and may take its time to end on a busy machine.
    waitid(Id::Pid(zombie), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
    let (mut full_in, full_out) = pipe_of_files()?;
    full_in.write_all(&pattern(0))?;
    Ok(Family {
        child,
        zombie,
        to_child,
        from_child,
        full: (full_in, full_out),
        shared,
    })
}

/// The writing and the reading end.
fn pipe_of_files() -> Result<(File, File), Failure> {
    let (reading, writing): (OwnedFd, OwnedFd) = pipe()?;
    Ok((File::from(writing), File::from(reading)))
}

fn pattern(round: u64) -> Vec<u8> {
    (0..IN_PIPE as u64)
        .map(|at| ((at * 31 + round) % 251) as u8)
        .collect()
}

/// The child: answers each number with its square, its own count, and who it is; counts in shared memory.
fn live(mut questions: File, mut answers: File, shared: &AtomicU64) -> Result<(), Failure> {
    setsid()?;
    let mut count = 0_u64;
    loop {
        let mut question = [0; 8];
        questions.read_exact(&mut question)?;
        count += 1;
        shared.fetch_add(1, Ordering::SeqCst);
        let number = u64::from_le_bytes(question);
        let identity = [getpid(), getppid(), getsid(None)?, getpgid(None)?];
        let mut answer = Vec::new();
        answer.extend((number * number).to_le_bytes());
        answer.extend(count.to_le_bytes());
        for id in identity {
            answer.extend(i64::from(id.as_raw()).to_le_bytes());
        }
        answers.write_all(&answer)?;
    }
}

pub(super) fn keep(board: &Board, family: Family) {
    let Family {
        child,
        zombie,
        mut to_child,
        mut from_child,
        full,
        shared,
    } = family;
    let me = getpid();
    board.keep("a child process", move |round| {
        to_child.write_all(&round.to_le_bytes())?;
        let mut answer = [0; 48];
        from_child.read_exact(&mut answer)?;
        let words: Vec<u64> = answer
            .as_chunks::<8>()
            .0
            .iter()
            .map(|bytes| u64::from_le_bytes(*bytes))
            .collect();
        let id = |pid: Pid| u64::try_from(pid.as_raw());
        let wanted = vec![round * round, round, id(child)?, id(me)?, id(child)?, id(child)?];
        same("square, count, pid, parent, session, group", words, wanted)?;
        same("the count in shared memory", shared.load(Ordering::SeqCst), round)
    });
    let (mut full_in, mut full_out) = full;
    board.keep("a pipe with something in it", move |round| {
        let mut found = vec![0; IN_PIPE];
        full_out.read_exact(&mut found)?;
        if found != pattern(round - 1) {
            return Err("what was in the pipe is not what was written".into());
        }
        full_in.write_all(&pattern(round))?;
        Ok(())
    });
    board.keep("a zombie", move |_| {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        same(
            "its end",
            waitid(Id::Pid(zombie), flags)?,
            WaitStatus::Exited(zombie, 7),
        )
    });
}

fn shared_counter() -> Result<&'static AtomicU64, Failure> {
    // SAFETY: a fresh anonymous mapping of one page, checked below, never unmapped.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err("mmap failed".into());
    }
    // SAFETY: the page is zeroed, aligned, lives for ever, and is used as nothing else.
    Ok(unsafe { &*address.cast::<AtomicU64>() })
}
