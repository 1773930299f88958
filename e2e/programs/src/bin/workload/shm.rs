//! Shared memory of both kinds, a semaphore and a message queue, all checked by content again and again.

use std::ffi::CString;
use std::ptr;

use crate::board::{Board, same};
use crate::{Failure, control};

const WORDS: usize = 1 << 17;

/// Run until the container is ended.
pub(crate) fn shm(port: u16) -> Result<(), Failure> {
    let board = Board::default();
    system_v(&board)?;
    posix(&board)?;
    semaphore(&board)?;
    queue(&board)?;
    control::answer_on(port, move |_| board.told())
}

/// Memory that lives as long as the program.
struct Shared(*mut u64);
// SAFETY: one thread alone uses it.
unsafe impl Send for Shared {}

impl Shared {
    fn words(&mut self) -> &mut [u64] {
        // SAFETY: every constructor maps WORDS words for good, and nothing else in this process points there.
        unsafe { std::slice::from_raw_parts_mut(self.0, WORDS) }
    }

    /// What is there is what round `round - 1` has left; leave what the next one will look for.
    fn pass(&mut self, round: u64) -> Result<(), Failure> {
        let key = |round: u64, at: usize| (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ round;
        if round > 1 {
            for (at, &word) in self.words().iter().enumerate() {
                same(&format!("word {at}"), word, key(round - 1, at))?;
            }
        }
        for (at, word) in self.words().iter_mut().enumerate() {
            *word = key(round, at);
        }
        Ok(())
    }
}

fn checked(result: libc::c_int, what: &str) -> Result<libc::c_int, Failure> {
    if result < 0 {
        return Err(format!("{what}: {}", std::io::Error::last_os_error()).into());
    }
    Ok(result)
}

fn system_v(board: &Board) -> Result<(), Failure> {
    // SAFETY: plain system calls; the result is checked before use.
    let id = checked(
        unsafe { libc::shmget(0x6f77, WORDS * 8, libc::IPC_CREAT | 0o600) },
        "shmget",
    )?;
    // SAFETY: as above.
    let address = unsafe { libc::shmat(id, ptr::null(), 0) };
    if address.addr() == usize::MAX {
        return Err("shmat failed".into());
    }
    let mut shared = Shared(address.cast());
    board.keep("SysV shared memory", move |round| {
        // SAFETY: as above.
        let now = checked(unsafe { libc::shmget(0x6f77, 0, 0) }, "shmget of the same key")?;
        same("the segment's number", now, id)?;
        shared.pass(round)
    });
    // A second attachment of the same segment sees what the first one writes.
    // SAFETY: as above.
    let address = unsafe { libc::shmat(id, ptr::null(), libc::SHM_RDONLY) };
    if address.addr() == usize::MAX {
        return Err("the second shmat failed".into());
    }
    Ok(())
}

fn posix(board: &Board) -> Result<(), Failure> {
    let name = CString::new("/godwit-shm")?;
    // SAFETY: plain system calls; results are checked before use.
    let (file, address) = unsafe {
        let file = checked(
            libc::shm_open(name.as_ptr(), libc::O_CREAT | libc::O_RDWR, 0o600),
            "shm_open",
        )?;
        checked(libc::ftruncate(file, i64::try_from(WORDS * 8)?), "ftruncate")?;
        let address = libc::mmap(
            ptr::null_mut(),
            WORDS * 8,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file,
            0,
        );
        (file, address)
    };
    if address == libc::MAP_FAILED {
        return Err("mmap failed".into());
    }
    let mut shared = Shared(address.cast());
    board.keep("POSIX shared memory", move |round| {
        shared.pass(round)?;
        // The file has it too: mapping and file are still the same thing.
        let mut first = [0_u8; 8];
        // SAFETY: `first` has the 8 bytes that are asked for.
        let count = unsafe { libc::pread(file, first.as_mut_ptr().cast(), 8, 0) };
        same("bytes read", count, 8)?;
        same(
            "the file's first word",
            u64::from_ne_bytes(first),
            shared.words()[0],
        )?;
        let entry = std::fs::metadata("/dev/shm/godwit-shm")?;
        same("the length in /dev/shm", entry.len(), (WORDS * 8) as u64)
    });
    Ok(())
}

fn semaphore(board: &Board) -> Result<(), Failure> {
    // SAFETY: plain system calls on numbers.
    let id = checked(
        unsafe { libc::semget(0x6f78, 3, libc::IPC_CREAT | 0o600) },
        "semget",
    )?;
    for (at, value) in [(0, 11), (1, 22), (2, 33)] {
        // SAFETY: as above.
        checked(unsafe { libc::semctl(id, at, libc::SETVAL, value) }, "semctl")?;
    }
    board.keep("SysV semaphores", move |_| {
        for (at, value) in [(0, 11), (1, 22), (2, 33)] {
            // SAFETY: as above.
            let found = unsafe { libc::semctl(id, at, libc::GETVAL) };
            same("a semaphore", checked(found, "semctl")?, value)?;
        }
        Ok(())
    });
    Ok(())
}

#[repr(C)]
struct Message {
    kind: libc::c_long,
    body: u64,
}

fn queue(board: &Board) -> Result<(), Failure> {
    // SAFETY: plain system calls; messages have the size that is given.
    let id = checked(unsafe { libc::msgget(0x6f79, libc::IPC_CREAT | 0o600) }, "msgget")?;
    let send = move |kind: libc::c_long, body: u64| {
        let message = Message { kind, body };
        // SAFETY: as above.
        checked(
            unsafe { libc::msgsnd(id, ptr::from_ref(&message).cast(), 8, libc::IPC_NOWAIT) },
            "msgsnd",
        )
    };
    send(1, 1)?;
    send(2, 1)?;
    board.keep("SysV message queue", move |round| {
        for kind in [1, 2] {
            let mut message = Message { kind: 0, body: 0 };
            // SAFETY: as above.
            let length =
                unsafe { libc::msgrcv(id, ptr::from_mut(&mut message).cast(), 8, kind, libc::IPC_NOWAIT) };
            same("the length of a message", length, 8)?;
            same("a message", message.body, round)?;
            send(kind, round + 1)?;
        }
        Ok(())
    });
    Ok(())
}
