//! The system calls of a userfaultfd. They act on the memory of the process that made it, from outside, even while that is frozen.

use std::os::fd::RawFd;
use std::sync::atomic::AtomicU64;

use nix::errno::Errno;

use super::message::SIZE;
use crate::range::PAGE;

#[repr(C)]
struct Range {
    start: u64,
    len: u64,
}

#[repr(C)]
struct Copy {
    dst: u64,
    src: u64,
    len: u64,
    mode: u64,
    copied: i64,
}

#[repr(C)]
struct Zero {
    start: u64,
    len: u64,
    mode: u64,
    zeroed: i64,
}

#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

/// `UFFDIO_REGISTER_MODE_MISSING` of `linux/userfaultfd.h`.
const MISSING: u64 = 1;

mod raw {
    #![allow(missing_docs, reason = "made by macros")]
    nix::ioctl_readwrite!(register, 0xAA, 0x00, super::Register);
    nix::ioctl_read!(wake, 0xAA, 0x02, super::Range);
    nix::ioctl_readwrite!(copy, 0xAA, 0x03, super::Copy);
    nix::ioctl_readwrite!(zero, 0xAA, 0x04, super::Zero);
}

/// What pages are filled with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fill {
    /// With what lies at this address of ours.
    From(*const u8),
    /// With zeros.
    Zeros,
}

/// Fills missing pages `start..start + len` and wakes whoever waits for them. Gives the bytes filled and why it stopped, if it did.
pub(super) fn fill(uffd: RawFd, start: u64, len: u64, fill: Fill) -> (u64, Option<Errno>) {
    let (result, done) = match fill {
        Fill::From(src) => {
            let mut call = Copy {
                dst: start,
                src: src as u64,
                len,
                mode: 0,
                copied: 0,
            };
            // SAFETY: the argument lives through the call. The kernel reads our memory at `src`; if it is not there, it answers EFAULT.
            let result = unsafe { raw::copy(uffd, &raw mut call) };
            (result, call.copied)
        }
        Fill::Zeros => {
            let mut call = Zero {
                start,
                len,
                mode: 0,
                zeroed: 0,
            };
            // SAFETY: the argument lives through the call.
            let result = unsafe { raw::zero(uffd, &raw mut call) };
            (result, call.zeroed)
        }
    };
    match result {
        Ok(_) => (len, None),
        // With a part filled the kernel says EAGAIN for whatever stopped it; the next call tells.
        Err(errno) => (u64::try_from(done).unwrap_or(0), Some(errno)),
    }
}

/// Has touches of missing pages in `start..start + len` wait for an answer from now on. What is registered already remains so.
///
/// It is the memory of the process that made the descriptor that is meant, whoever asks (`userfaultfd_register` in Linux' `fs/userfaultfd.c`).
pub(super) fn register(uffd: RawFd, start: u64, len: u64) -> Result<(), Errno> {
    let mut call = Register {
        start,
        len,
        mode: MISSING,
        ioctls: 0,
    };
    // SAFETY: the argument lives through the call.
    unsafe { raw::register(uffd, &raw mut call) }.map(drop)
}

/// Lets everyone who waits for pages in the range try again.
pub(super) fn wake(uffd: RawFd, start: u64, len: u64) -> Result<(), Errno> {
    let mut range = Range { start, len };
    // SAFETY: the argument lives through the call.
    unsafe { raw::wake(uffd, &raw mut range) }.map(drop)
}

/// The same for the whole address space.
pub(super) fn wake_all(uffd: RawFd) {
    // An end behind that of the address space is refused, so from the largest kind (five levels of page tables) downwards.
    let low = 16 * PAGE;
    for end in [1 << 56, 1 << 52, 1 << 48, 1 << 47, 1 << 42, 1 << 39] {
        // x86-64 keeps the last page to itself.
        if [end, end - PAGE]
            .iter()
            .any(|end| wake(uffd, low, end - low).is_ok())
        {
            return;
        }
    }
}

/// Whether the process has gone. Asks by a zero page where no process has memory (below what `mmap_min_addr` allows by default it is
/// refused for another reason, so just above).
pub(super) fn is_gone(uffd: RawFd) -> bool {
    matches!(
        fill(uffd, 16 * PAGE, PAGE, Fill::Zeros),
        (_, Some(Errno::ESRCH | Errno::ENOSPC))
    )
}

/// Reads one message into `words`; `Ok(false)` if there is none.
///
/// `words` may be shared memory: a reader that is killed has then either not taken the message, or left it there. Nothing lies between
/// the kernel's taking it off the list and its writing it, as long as the memory is there (locked).
pub(super) fn read(uffd: RawFd, words: &[AtomicU64; SIZE / 8]) -> Result<bool, Errno> {
    // SAFETY: the kernel writes at most SIZE bytes into atomics, which may be written behind a shared reference.
    let read = unsafe { libc::read(uffd, words.as_ptr().cast_mut().cast(), SIZE) };
    match Errno::result(read) {
        Ok(read) => Ok(usize::try_from(read) == Ok(SIZE)),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno),
    }
}
