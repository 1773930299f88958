//! CRIU's connection.

use std::os::fd::RawFd;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::sys::socket::{Shutdown, shutdown};

use super::board::{Board, stage, state};
use super::worker::Worker;
use super::{ServeError, places};

/// `LAZY_PAGES_RESTORE_FINISHED` of CRIU's `criu/uffd.c`.
const FINISHED: i32 = 0x5253_5446;
/// Bytes of a control message with exactly one descriptor: the kernel installs no second one.
// SAFETY: arithmetic only.
const CONTROL: usize = unsafe { libc::CMSG_LEN(4) } as usize;

/// Receives until CRIU says that it is finished, or its connection ends; and looks whether every page has a place.
pub(super) fn run(worker: &Worker) {
    let board = worker.board;
    if board.stage.load(Ordering::SeqCst) != stage::OPEN {
        return;
    }
    let restored = receive(worker).and_then(|()| worker.say_checked(&places::check(worker)?));
    let next = match restored {
        Ok(()) => stage::FINISHED,
        Err(error) => {
            worker.fail(&error);
            stage::BROKEN
        }
    };
    board.stage.store(next, Ordering::SeqCst);
    // Not closed: another worker's number would then mean something else. It tells CRIU as well.
    hang_up(board);
}

/// Ends the connection.
pub(super) fn hang_up(board: &Board) {
    let _ = shutdown(board.connection.load(Ordering::SeqCst), Shutdown::Both);
}

/// Whether this descriptor is open and a userfaultfd.
pub(super) fn is_userfaultfd(fd: RawFd) -> bool {
    std::fs::read_link(format!("/proc/self/fd/{fd}"))
        .is_ok_and(|link| link.as_os_str() == "anon_inode:[userfaultfd]")
}

/// At each step a killed worker leaves in the inbox what it has received.
fn receive(worker: &Worker) -> Result<(), ServeError> {
    let inbox = &worker.board.inbox;
    loop {
        if inbox.pid.load(Ordering::SeqCst) == 0 {
            for word in &inbox.control {
                word.store(0, Ordering::SeqCst);
            }
            receive_pid(worker.board)?;
        }
        let pid = inbox.pid.load(Ordering::SeqCst);
        if pid == FINISHED {
            return Ok(());
        }
        if pid > 0 {
            if inbox.control[0].load(Ordering::SeqCst) == 0 {
                receive_descriptor(worker.board)?;
            }
            accept(worker, pid)?;
        }
        inbox.pid.store(0, Ordering::SeqCst);
    }
}

fn receive_pid(board: &Board) -> Result<(), ServeError> {
    let connection = board.connection.load(Ordering::SeqCst);
    loop {
        // SAFETY: the kernel writes four bytes into an atomic of that size.
        let got = unsafe { libc::recv(connection, board.inbox.pid.as_ptr().cast(), 4, libc::MSG_WAITALL) };
        match Errno::result(got) {
            Ok(4) if board.inbox.pid.load(Ordering::SeqCst) != 0 => return Ok(()),
            Ok(4) => return Err(ServeError::Protocol { why: "a PID is zero" }),
            Ok(0) => return Err(ServeError::ConnectionLost),
            Err(Errno::EINTR) => {}
            Ok(_) => {
                return Err(ServeError::Protocol {
                    why: "it ends inside a PID",
                });
            }
            Err(_) => return Err(ServeError::ConnectionLost),
        }
    }
}

fn receive_descriptor(board: &Board) -> Result<(), ServeError> {
    let mut dummy = [0_u8; 1];
    let mut part = libc::iovec {
        iov_base: dummy.as_mut_ptr().cast(),
        iov_len: dummy.len(),
    };
    // SAFETY: zeros are a valid value of this plain structure.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = board.inbox.control.as_ptr().cast_mut().cast();
    header.msg_controllen = CONTROL as _;
    let connection = board.connection.load(Ordering::SeqCst);
    let got = loop {
        // SAFETY: all parts live through the call; the control part is atomics of at least that size.
        let got = unsafe { libc::recvmsg(connection, &raw mut header, libc::MSG_CMSG_CLOEXEC) };
        match Errno::result(got) {
            Err(Errno::EINTR) => {}
            other => break other,
        }
    };
    match got {
        Ok(1) if board.inbox.control[0].load(Ordering::SeqCst) != 0 => Ok(()),
        Ok(1) => Err(ServeError::Protocol {
            why: "no descriptor follows a PID",
        }),
        _ => Err(ServeError::ConnectionLost),
    }
}

/// Takes up the address space of the descriptor in the inbox.
fn accept(worker: &Worker, pid: i32) -> Result<(), ServeError> {
    let board = worker.board;
    // struct cmsghdr: length, level and type, then the descriptor.
    let words = [1, 2].map(|i| board.inbox.control[i].load(Ordering::SeqCst).to_ne_bytes());
    let half = |word: [u8; 8], i: usize| i32::from_ne_bytes([word[i], word[i + 1], word[i + 2], word[i + 3]]);
    let rights = half(words[0], 0) == libc::SOL_SOCKET && half(words[0], 4) == libc::SCM_RIGHTS;
    let fd = half(words[1], 0);
    if !rights || !is_userfaultfd(fd) {
        return Err(ServeError::Protocol {
            why: "what follows a PID is no userfaultfd",
        });
    }
    // Committed by a worker that was killed before it could say so here.
    if board.used().any(|slot| slot.uffd.load(Ordering::SeqCst) == fd) {
        return Ok(());
    }
    let guard = worker.slots.lock().unwrap_or_else(PoisonError::into_inner);
    let slot = board.free_slot().ok_or(ServeError::TooManySpaces)?;
    let known = board.used().any(|slot| slot.ns_pid.load(Ordering::SeqCst) == pid);
    slot.reset(board.next_id(), fd, pid);
    let origin = if known {
        Err(ServeError::Protocol {
            why: "a process comes twice",
        })
    } else {
        worker.origin(pid)
    };
    match origin {
        Ok(origin) => {
            board.total.fetch_add(origin.bytes(), Ordering::SeqCst);
            slot.state.store(state::ALIVE, Ordering::SeqCst);
            drop(guard);
            worker.take_up(slot)
        }
        Err(error) => {
            // Nobody may go on with zeros where pages are due: it waits until it is killed.
            slot.state.store(state::HELD, Ordering::SeqCst);
            Err(error)
        }
    }
}
