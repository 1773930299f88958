//! One address space that lacks pages.
//!
//! Whoever fills holds the table for reading, whoever reads a message holds it for writing. The kernel holds an application back that
//! unmaps, moves, gives up or forks memory until the message is read, and refuses to fill (EAGAIN) meanwhile; but once it is read, a
//! fill that was decided before would put old pages into what is new. So no message is read while a fill is decided or done.
//! That is why a fill is short: a fault waits for it, too.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use nix::errno::Errno;

use super::ServeError;
use super::board::Slot;
use super::claims::Claims;
use super::message::Message;
use super::origin::Origin;
use super::snapshot;
use super::table::{Piece, Table};
use super::uffd::{self, Fill};
use crate::range::{PAGE, PAGE_BYTES};
use crate::store::Window;

/// See the module.
pub(super) struct Space {
    pub(super) id: u64,
    pub(super) slot: &'static Slot,
    pub(super) origin: Arc<Origin>,
    /// The process has ended or runs another program.
    pub(super) gone: AtomicBool,
    state: RwLock<State>,
    claims: Mutex<Claims>,
    zero: Ahead,
}

/// What messages change.
pub(super) struct State {
    pub(super) table: Table,
    /// The number that the next event will have.
    pub(super) next: u64,
    /// The descriptor is closed; its number may mean something else by now.
    pub(super) closed: bool,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The pages are there.
    Done,
    /// Messages must be read first.
    Again,
    /// At this address nothing is registered.
    Absent(u64),
    /// The process has gone.
    Gone,
    /// The system call failed otherwise (no memory, an unreadable store).
    Failed(Errno),
}

/// How far to zero ahead: doubles while touches follow each other.
#[derive(Default)]
struct Ahead {
    behind: AtomicU64,
    bytes: AtomicU64,
}

impl Space {
    /// Takes up the address space of a slot: new, or left behind by a worker that was killed.
    pub(super) fn attach(slot: &'static Slot, origin: Arc<Origin>) -> Result<Self, ServeError> {
        slot.lock_memory();
        let (fd, base) = slot.commit();
        let table = match fd {
            Some(fd) => snapshot::load(fd)?,
            None => Table::new(&origin.ranges),
        };
        let forked = slot.forked.load(Ordering::SeqCst) != 0;
        let floor = slot.floor.load(Ordering::SeqCst);
        let first = if forked {
            Vec::new()
        } else {
            origin.not_inherited()
        };
        let space = Self {
            id: slot.id.load(Ordering::SeqCst),
            slot,
            gone: AtomicBool::new(false),
            state: RwLock::new(State {
                table,
                next: base,
                closed: false,
            }),
            claims: Mutex::new(Claims::new(floor, first)),
            zero: Ahead::default(),
            origin,
        };
        if forked {
            let mut state = space.write();
            for (start, end) in space.origin.not_inherited() {
                state.table.drop_img(start, end);
            }
        }
        Ok(space)
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn uffd(&self) -> i32 {
        self.slot.uffd.load(Ordering::SeqCst)
    }

    /// Says how far filling is, for the next worker and for [`Origin::release`]. Call it while the table is held.
    pub(super) fn note_floor(&self) {
        let floor = self.claims().floor(&self.origin.ranges);
        self.slot.floor.fetch_max(floor, Ordering::SeqCst);
    }

    pub(super) fn floor(&self) -> u64 {
        self.slot.floor.load(Ordering::SeqCst)
    }

    /// Whether no page is due any longer.
    pub(super) fn is_filled(&self) -> bool {
        self.gone.load(Ordering::SeqCst) || self.floor() == u64::MAX
    }

    /// Bytes that are due.
    pub(super) fn bytes_left(&self) -> u64 {
        if self.is_filled() {
            return 0;
        }
        self.read().table.bytes_from(self.floor())
    }

    /// Changes the table as an event says. Forks are the worker's business.
    pub(super) fn follow(state: &mut State, event: Message) {
        match event {
            Message::Remap { from, to, len } => state.table.remap(from, to, len),
            Message::Remove { start, end } | Message::Unmap { start, end } => {
                state.table.drop_run(start, end);
            }
            Message::Fault { .. } | Message::Fork { .. } | Message::None => {}
        }
    }

    /// Writes the table down and begins the log anew.
    pub(super) fn write_down(&self, state: &State) -> Result<(), ServeError> {
        let fd = snapshot::save(&state.table)?;
        let (old, _) = self.slot.commit();
        self.slot.set_commit(Some(fd), state.next);
        if let Some(old) = old {
            snapshot::close(old);
        }
        Ok(())
    }

    /// Answers a touch of a page. Gives how it went and whether the page was due.
    pub(super) fn answer(&self, state: &State, page: u64, most: u64, window: &mut Window) -> (Outcome, bool) {
        let due = state.table.at(page).filter(|piece| piece.img >= self.floor());
        let outcome = if let Some(piece) = due {
            self.put(&Piece { len: PAGE, ..piece }, window)
        } else {
            // Either never due, or filled a moment ago.
            let end = if state.table.at(page).is_some() {
                page + PAGE
            } else {
                let end = self.origin.mapping(page).map_or(page + PAGE, |vma| vma.end);
                let end = state.table.gap(page, page, end).1;
                end.min(self.zero.end(page, most))
            };
            self.put_at(page, end - page, Fill::Zeros, &mut None)
        };
        // A page that was there already wakes nobody.
        if matches!(outcome, Outcome::Done | Outcome::Absent(_)) {
            let _ = uffd::wake(self.uffd(), page, PAGE);
        }
        (outcome, due.is_some())
    }

    /// Fills what follows a touched page.
    pub(super) fn fill_ahead(&self, state: &State, page: u64, bytes: u64, window: &mut Window) {
        let Some(piece) = state.table.at(page) else { return };
        if bytes <= PAGE || piece.len <= PAGE || piece.img < self.floor() {
            return;
        }
        let ahead = Piece {
            run: piece.run + PAGE,
            len: bytes.min(piece.len) - PAGE,
            img: piece.img + PAGE,
        };
        // Whatever is left undone the background fill will do.
        let _ = self.put(&ahead, window);
    }

    /// Fills a piece from the store.
    pub(super) fn put(&self, piece: &Piece, window: &mut Window) -> Outcome {
        self.put_new(piece, window).0
    }

    /// The same. Gives also the first address at which a page was there already, if it got so far.
    pub(super) fn put_new(&self, piece: &Piece, window: &mut Window) -> (Outcome, Option<u64>) {
        let mut there = None;
        (self.put_piece(piece, window, &mut there), there)
    }

    /// Fills one page with these bytes, if it is missing.
    pub(super) fn put_page(&self, run: u64, page: &[u8; PAGE_BYTES]) -> Outcome {
        self.put_at(run, PAGE, Fill::From(page.as_ptr()), &mut None)
    }

    fn put_piece(&self, piece: &Piece, window: &mut Window, there: &mut Option<u64>) -> Outcome {
        let Some(source) = &self.origin.source else {
            return Outcome::Failed(Errno::ENOENT);
        };
        let mut img = piece.img;
        let end = piece.img + piece.len;
        while img < end {
            let Ok(segment) = window.segment(source, img, end) else {
                return Outcome::Failed(Errno::EIO);
            };
            let fill = if segment.data {
                match window.at(source, img, segment.end) {
                    Ok(at) => Fill::From(at),
                    Err(_) => return Outcome::Failed(Errno::EIO),
                }
            } else {
                Fill::Zeros
            };
            let run = piece.run + (img - piece.img);
            match self.put_at(run, segment.end - img, fill, there) {
                Outcome::Done => img = segment.end,
                other => return other,
            }
        }
        Outcome::Done
    }

    /// Fills `len` bytes at `run`, all with data or all with zeros. Pages that are there remain, and the first of them is told.
    fn put_at(&self, run: u64, len: u64, fill: Fill, there: &mut Option<u64>) -> Outcome {
        let uffd = self.uffd();
        let mut at = 0;
        let mut step = len;
        while at < len {
            let from = match fill {
                Fill::From(src) => Fill::From(src.wrapping_add(usize::try_from(at).unwrap_or(0))),
                Fill::Zeros => Fill::Zeros,
            };
            let part = step.min(len - at);
            match uffd::fill(uffd, run + at, part, from) {
                (_, None) => {
                    at += part;
                    step = len;
                }
                (done, Some(_)) if done > 0 => at += done,
                (_, Some(Errno::EEXIST)) => {
                    there.get_or_insert(run + at);
                    at += PAGE;
                }
                (_, Some(Errno::EAGAIN)) => return Outcome::Again,
                (_, Some(Errno::ESRCH | Errno::ENOSPC)) => {
                    self.gone.store(true, Ordering::SeqCst);
                    return Outcome::Gone;
                }
                // The application may have split its mapping (mprotect): that is no event, and one call must stay inside one mapping.
                (_, Some(Errno::ENOENT)) if part > PAGE => step = (part / 2).next_multiple_of(PAGE),
                (_, Some(Errno::ENOENT | Errno::EINVAL)) => return Outcome::Absent(run + at),
                (_, Some(errno)) => return Outcome::Failed(errno),
            }
        }
        Outcome::Done
    }
}

impl Ahead {
    /// Up to where to zero from this page on.
    fn end(&self, page: u64, most: u64) -> u64 {
        let follows = self.behind.load(Ordering::Relaxed) == page;
        let before = self.bytes.load(Ordering::Relaxed);
        let bytes = if follows { before * 2 } else { 16 * PAGE };
        let bytes = bytes.clamp(PAGE, most.max(PAGE));
        self.bytes.store(bytes, Ordering::Relaxed);
        self.behind.store(page + bytes, Ordering::Relaxed);
        page + bytes
    }
}
