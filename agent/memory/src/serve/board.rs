//! What outlives a killed worker.
//!
//! The holder makes this memory before it starts a worker, and shares it and its descriptor table (`CLONE_FILES`) with every worker.
//! So a descriptor that a worker receives is the holder's at the same moment, and what the kernel writes for a worker lands here:
//! there is no instant at which kill -9 loses a descriptor, an event or the word that it was dealt with.
//!
//! A message is read straight into the log of its address space. An entry counts if it bears the number that its place has in the log
//! now, and if the kernel has filled it. The table of an address space is the last snapshot (or the images) and the log's events applied
//! to it in order; which ones are past is one word, [`Slot::commit`].

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use nix::errno::Errno;

use super::message::{self, Message, SIZE};
use super::uffd;

/// No more address spaces are served at one time, forked ones included.
pub(super) const MAX_SPACES: usize = 4096;
/// Events in the log of an address space; before it is full its table is written down.
pub(super) const LOG: usize = 512;
/// Bits of [`Slot::commit`] for the number of the first event that is not in the snapshot.
const BASE_BITS: u32 = 40;

/// States of a [`Slot`].
pub(super) mod state {
    /// Not used.
    pub(in super::super) const FREE: u32 = 0;
    /// Pages are due.
    pub(in super::super) const ALIVE: u32 = 1;
    /// No page is due; the descriptor is being closed.
    pub(in super::super) const CLOSING: u32 = 2;
    /// Its images are unusable: nothing can be filled, and nothing may be closed while the process lives.
    pub(in super::super) const HELD: u32 = 3;
}

/// How far CRIU's connection is.
pub(super) mod stage {
    /// More descriptors may come.
    pub(in super::super) const OPEN: u32 = 0;
    /// CRIU said that the restore is finished.
    pub(in super::super) const FINISHED: u32 = 1;
    /// It ended before CRIU said so.
    pub(in super::super) const BROKEN: u32 = 2;
}

/// All shared memory. Zeros are its first state.
#[repr(C)]
pub(super) struct Board {
    /// One of [`stage`].
    pub(super) stage: AtomicU32,
    /// CRIU's connection.
    pub(super) connection: AtomicI32,
    /// How often a worker was started.
    pub(super) workers: AtomicU32,
    /// The epoll descriptor of the last worker, plus one.
    pub(super) epoll: AtomicI32,
    /// Slots that were ever used: none behind is looked at, so that no memory is needed for them.
    high: AtomicU32,
    /// The number of the last address space.
    pub(super) ids: AtomicU64,
    /// Bytes of all lazy pages that were announced.
    pub(super) total: AtomicU64,
    /// Faults answered with a page of the store.
    pub(super) faults: AtomicU64,
    /// Faults answered with zeros because nothing is due there.
    pub(super) zero_faults: AtomicU64,
    /// Bytes copied or zeroed in the background.
    pub(super) filled: AtomicU64,
    /// Pages that belong where nothing is mapped for them.
    pub(super) unplaced: AtomicU64,
    /// Not zero while memory is registered that CRIU left out.
    pub(super) mending: AtomicU32,
    /// What is being received.
    pub(super) inbox: Inbox,
    /// The address spaces.
    pub(super) slots: [Slot; MAX_SPACES],
}

/// What is being received from CRIU, written by the kernel.
#[repr(C)]
pub(super) struct Inbox {
    /// The PID; zero if none has come.
    pub(super) pid: AtomicI32,
    /// The control message with the descriptor; zeros if none has come.
    pub(super) control: [AtomicU64; 4],
}

/// One address space.
#[repr(C)]
pub(super) struct Slot {
    /// One of [`state`]; written last when a slot comes into use.
    pub(super) state: AtomicU32,
    /// The userfaultfd.
    pub(super) uffd: AtomicI32,
    /// Whose images it has.
    pub(super) ns_pid: AtomicI32,
    /// Not zero if it was forked after the restore.
    pub(super) forked: AtomicU32,
    /// Its number.
    pub(super) id: AtomicU64,
    /// The number of the address space it was forked from, and of the event there.
    pub(super) parent: AtomicU64,
    /// See `parent`.
    pub(super) parent_event: AtomicU64,
    /// Forks in the log below this number have their child.
    pub(super) forks_done: AtomicU64,
    /// Pages that were below this address at the dump are filled.
    pub(super) floor: AtomicU64,
    /// The memfd of the snapshot plus one, and below that the number of the first event behind it.
    commit: AtomicU64,
    log: [Entry; LOG],
}

#[repr(C)]
struct Entry {
    number: AtomicU64,
    words: [AtomicU64; SIZE / 8],
}

impl Board {
    /// Shared memory that lives as long as this process and the ones it clones.
    pub(super) fn new() -> Result<&'static Self, Errno> {
        // SAFETY: a new shared mapping of the right size, page-aligned, all zeros, which is a valid value (atomics only). It is never
        // unmapped.
        unsafe {
            let memory = libc::mmap(
                std::ptr::null_mut(),
                size_of::<Self>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            );
            if memory == libc::MAP_FAILED {
                return Err(Errno::last());
            }
            Ok(&*memory.cast::<Self>())
        }
    }

    /// A slot that is not used. Two threads that ask may get the same.
    pub(super) fn free_slot(&'static self) -> Option<&'static Slot> {
        let high = self.high.load(Ordering::SeqCst);
        let old = self
            .known()
            .find(|slot| slot.state.load(Ordering::SeqCst) == state::FREE);
        old.or_else(|| {
            let new = self.slots.get(usize::try_from(high).ok()?)?;
            self.high.store(high + 1, Ordering::SeqCst);
            Some(new)
        })
    }

    /// Whether there is one.
    pub(super) fn has_room(&'static self) -> bool {
        let high = self.high.load(Ordering::SeqCst);
        usize::try_from(high).is_ok_and(|high| high < MAX_SPACES)
            || self
                .known()
                .any(|slot| slot.state.load(Ordering::SeqCst) == state::FREE)
    }

    /// The slots that are in use.
    pub(super) fn used(&'static self) -> impl Iterator<Item = &'static Slot> {
        self.known()
            .filter(|slot| slot.state.load(Ordering::SeqCst) != state::FREE)
    }

    fn known(&'static self) -> impl Iterator<Item = &'static Slot> {
        let high = usize::try_from(self.high.load(Ordering::SeqCst)).unwrap_or(0);
        self.slots[..high.min(MAX_SPACES)].iter()
    }

    /// A new number for an address space.
    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::SeqCst) + 1
    }
}

impl Slot {
    /// Makes a free slot ready: nothing in its log, nothing filled. The caller sets the state last.
    pub(super) fn reset(&self, id: u64, uffd: RawFd, ns_pid: i32) {
        self.lock_memory();
        for entry in &self.log {
            entry.number.store(0, Ordering::SeqCst);
        }
        self.uffd.store(uffd, Ordering::SeqCst);
        self.ns_pid.store(ns_pid, Ordering::SeqCst);
        self.forked.store(0, Ordering::SeqCst);
        self.id.store(id, Ordering::SeqCst);
        self.parent.store(0, Ordering::SeqCst);
        self.parent_event.store(0, Ordering::SeqCst);
        self.forks_done.store(0, Ordering::SeqCst);
        self.floor.store(0, Ordering::SeqCst);
        self.set_commit(None, 1);
    }

    /// Keeps the log in memory: a kernel that writes for a dying process does not wait for pages.
    pub(super) fn lock_memory(&self) {
        // SAFETY: the range is this value. A failure leaves things as they are.
        unsafe { libc::mlock(std::ptr::from_ref(self).cast(), size_of::<Self>()) };
    }

    /// The snapshot's memfd, if any, and the number of the first event behind it.
    pub(super) fn commit(&self) -> (Option<RawFd>, u64) {
        let word = self.commit.load(Ordering::SeqCst);
        let fd = RawFd::try_from(word >> BASE_BITS).unwrap_or(0) - 1;
        ((fd >= 0).then_some(fd), word & ((1 << BASE_BITS) - 1))
    }

    /// Says both at once.
    pub(super) fn set_commit(&self, snapshot: Option<RawFd>, base: u64) {
        let fd = snapshot.and_then(|fd| u64::try_from(fd + 1).ok()).unwrap_or(0);
        self.commit.store(fd << BASE_BITS | base, Ordering::SeqCst);
    }

    /// Whether the log has no room for an event of this number.
    pub(super) fn is_full(&self, number: u64) -> bool {
        number - self.commit().1 >= LOG as u64
    }

    /// Reads the next message of the userfaultfd as event `number`; `None` if there is none.
    pub(super) fn read(&self, number: u64) -> Result<Option<Message>, Errno> {
        let entry = self.entry(number);
        entry.words[0].store(0, Ordering::SeqCst);
        entry.number.store(number, Ordering::SeqCst);
        let uffd = self.uffd.load(Ordering::SeqCst);
        Ok(uffd::read(uffd, &entry.words)?.then(|| entry.message()))
    }

    /// Event `number` of the log, if it has happened. A fault is none: whoever waits is woken and comes again.
    pub(super) fn event(&self, number: u64) -> Option<Message> {
        let entry = self.entry(number);
        if entry.number.load(Ordering::SeqCst) != number {
            return None;
        }
        Some(entry.message()).filter(|message| !matches!(message, Message::None | Message::Fault { .. }))
    }

    /// Takes over snapshot (a descriptor of its own) and events of another slot below `end`.
    pub(super) fn inherit(&self, other: &Self, snapshot: Option<RawFd>, end: u64) {
        let (_, base) = other.commit();
        for number in base..end {
            let (to, from) = (self.entry(number), other.entry(number));
            for (to, from) in to.words.iter().zip(&from.words) {
                to.store(from.load(Ordering::SeqCst), Ordering::SeqCst);
            }
            to.number.store(number, Ordering::SeqCst);
        }
        self.set_commit(snapshot, base);
    }

    fn entry(&self, number: u64) -> &Entry {
        &self.log[usize::try_from(number % LOG as u64).unwrap_or(0)]
    }
}

impl Entry {
    fn message(&self) -> Message {
        message::parse(std::array::from_fn(|i| self.words[i].load(Ordering::SeqCst)))
    }
}
