//! The worker: what its threads share.

mod watching;

use std::collections::{BTreeMap, HashMap};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent};

use super::board::{Board, Slot, stage, state};
use super::files::{self, Config, FAILED, Failed};
use super::message::Message;
use super::origin::Origin;
use super::space::Space;
use super::{ServeError, faults, fill, intake, snapshot, uffd};

/// How long after the end of the restore a page may find no memory registered for it.
const GRACE: Duration = Duration::from_secs(1);

/// Exit codes of worker and holder.
pub(super) mod exit {
    /// Every page is where it belongs.
    pub(in super::super) const DONE: u8 = 0;
    /// The restore has failed and nothing lives that could be served.
    pub(in super::super) const FAILED: u8 = 3;
}

/// What the threads share.
pub(super) struct Worker {
    pub(super) board: &'static Board,
    pub(super) config: Config,
    /// Closed by the next worker or with the last process: the descriptor table is the holder's, too.
    pub(super) epoll: ManuallyDrop<Epoll>,
    pub(super) ended: AtomicBool,
    /// Milliseconds from `begun` to the last fault.
    pub(super) touched: AtomicU64,
    pub(super) begun: Instant,
    dir: PathBuf,
    holder: i32,
    spaces: RwLock<BTreeMap<u64, Arc<Space>>>,
    origins: Mutex<HashMap<i32, Arc<Origin>>>,
    /// When CRIU's connection was seen to have ended.
    closed: Mutex<Option<Instant>>,
    /// Held by whoever takes a slot into use.
    pub(super) slots: Mutex<()>,
    obstacle: Mutex<Option<String>>,
    news: Condvar,
    news_lock: Mutex<()>,
}

/// Runs a worker to its end. Gives its exit code.
pub(super) fn run(
    board: &'static Board,
    dir: PathBuf,
    config: Config,
    holder: i32,
) -> Result<u8, ServeError> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
        .map_err(|errno| ServeError::io("make", &dir, errno.into()))?;
    let old = board.epoll.swap(epoll.0.as_raw_fd() + 1, Ordering::SeqCst);
    if old > 0 {
        snapshot::close(old - 1);
    }
    let worker = Worker {
        board,
        config,
        epoll: ManuallyDrop::new(epoll),
        ended: AtomicBool::new(false),
        touched: AtomicU64::new(0),
        begun: Instant::now(),
        dir,
        holder,
        spaces: RwLock::default(),
        origins: Mutex::default(),
        closed: Mutex::default(),
        slots: Mutex::default(),
        obstacle: Mutex::default(),
        news: Condvar::new(),
        news_lock: Mutex::new(()),
    };
    worker.resume()?;
    let code = std::thread::scope(|scope| {
        scope.spawn(|| intake::run(&worker));
        for _ in 0..worker.config.tuning.fault_threads.max(1) {
            scope.spawn(|| faults::run(&worker));
        }
        for _ in 0..worker.config.tuning.fill_threads {
            scope.spawn(|| fill::run(&worker));
        }
        let code = worker.look_after();
        worker.ended.store(true, Ordering::SeqCst);
        worker.tell();
        code
    });
    Ok(code)
}

impl Worker {
    /// Takes up what an earlier worker has left.
    fn resume(&self) -> Result<(), ServeError> {
        let alive: Vec<_> = self
            .board
            .used()
            .filter(|slot| slot.state.load(Ordering::SeqCst) == state::ALIVE)
            .collect();
        for slot in alive {
            self.take_up(slot)?;
        }
        // Closing was begun. By now the number may be that of another address space.
        for slot in self.board.used() {
            if slot.state.load(Ordering::SeqCst) != state::CLOSING {
                continue;
            }
            let fd = slot.uffd.load(Ordering::SeqCst);
            let other = self.board.used().any(|slot| {
                slot.state.load(Ordering::SeqCst) == state::ALIVE && slot.uffd.load(Ordering::SeqCst) == fd
            });
            if !other && intake::is_userfaultfd(fd) {
                snapshot::close(fd);
            }
            slot.state.store(state::FREE, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Begins to serve a slot; applies what its log holds and wakes whoever waits for an answer that no one will give.
    pub(super) fn take_up(&self, slot: &'static Slot) -> Result<(), ServeError> {
        let origin = self.origin(slot.ns_pid.load(Ordering::SeqCst))?;
        let space = Arc::new(Space::attach(slot, origin)?);
        {
            let mut state = space.write();
            while let Some(event) = slot.event(state.next) {
                self.follow(&space, &mut state, event)?;
            }
            space.note_floor();
        }
        self.publish(&space)?;
        uffd::wake_all(space.uffd());
        Ok(())
    }

    /// Applies an event that has been read into the log, and counts it.
    pub(super) fn follow(
        &self,
        space: &Space,
        state: &mut super::space::State,
        event: Message,
    ) -> Result<(), ServeError> {
        let number = state.next;
        if let Message::Fork { uffd } = event
            && number >= space.slot.forks_done.load(Ordering::SeqCst)
        {
            let child = self.fork(space, number, uffd)?;
            space.slot.forks_done.store(number + 1, Ordering::SeqCst);
            self.take_up(child)?;
        }
        Space::follow(state, event);
        state.next = number + 1;
        if space.slot.is_full(state.next) {
            space.write_down(state)?;
        }
        Ok(())
    }

    /// The slot of a forked child: the same table as its parent's now.
    fn fork(&self, parent: &Space, number: u64, uffd: i32) -> Result<&'static Slot, ServeError> {
        let known = self.board.used().find(|slot| {
            slot.parent.load(Ordering::SeqCst) == parent.id
                && slot.parent_event.load(Ordering::SeqCst) == number
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let _guard = lock(&self.slots);
        let slot = self.board.free_slot().ok_or(ServeError::TooManySpaces)?;
        slot.reset(self.board.next_id(), uffd, parent.origin.ns_pid);
        let snapshot = parent.slot.commit().0.map(snapshot::copy).transpose()?;
        slot.inherit(parent.slot, snapshot, number);
        slot.forked.store(1, Ordering::SeqCst);
        slot.parent.store(parent.id, Ordering::SeqCst);
        slot.parent_event.store(number, Ordering::SeqCst);
        // Those in the inherited log are the parent's; the child's own events begin with this number.
        slot.forks_done.store(number, Ordering::SeqCst);
        slot.floor.store(parent.floor(), Ordering::SeqCst);
        slot.state.store(state::ALIVE, Ordering::SeqCst);
        Ok(slot)
    }

    /// Lets the threads know of an address space.
    fn publish(&self, space: &Arc<Space>) -> Result<(), ServeError> {
        let io = |errno: nix::errno::Errno| ServeError::io("watch", &self.dir, errno.into());
        // SAFETY: the slot names it, so it is open.
        let fd = unsafe { BorrowedFd::borrow_raw(space.uffd()) };
        fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(io)?;
        self.spaces
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(space.id, Arc::clone(space));
        self.epoll
            .add(fd, EpollEvent::new(faults::WANTED, space.id))
            .map_err(io)?;
        self.tell();
        Ok(())
    }

    /// Watches for messages again.
    pub(super) fn rearm(&self, space: &Space) {
        let state = space.read();
        if state.closed {
            return;
        }
        // SAFETY: it is closed only under the write lock, which sets `closed`.
        let fd = unsafe { BorrowedFd::borrow_raw(space.uffd()) };
        let mut event = EpollEvent::new(faults::WANTED, space.id);
        if self.epoll.modify(fd, &mut event).is_err() {
            self.hinder("a descriptor cannot be watched");
        }
    }

    /// The address space of this number.
    pub(super) fn space(&self, id: u64) -> Option<Arc<Space>> {
        self.spaces
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }

    /// All address spaces.
    pub(super) fn spaces(&self) -> Vec<Arc<Space>> {
        let spaces = self.spaces.read().unwrap_or_else(PoisonError::into_inner);
        spaces.values().cloned().collect()
    }

    /// The pages of a process, read from the images once.
    pub(super) fn origin(&self, ns_pid: i32) -> Result<Arc<Origin>, ServeError> {
        let mut origins = lock(&self.origins);
        if let Some(origin) = origins.get(&ns_pid) {
            return Ok(Arc::clone(origin));
        }
        let origin = Arc::new(Origin::load(&self.config, ns_pid)?);
        origins.insert(ns_pid, Arc::clone(&origin));
        Ok(origin)
    }

    /// Gives stored pages back that every address space has.
    pub(super) fn release(&self, origin: &Origin) {
        let floor = self
            .spaces()
            .iter()
            .filter(|space| space.origin.ns_pid == origin.ns_pid)
            .map(|space| {
                if space.gone.load(Ordering::SeqCst) {
                    u64::MAX
                } else {
                    space.floor()
                }
            })
            .min()
            .unwrap_or(u64::MAX);
        if origin.release(floor).is_err() {
            self.hinder("stored pages cannot be given back");
        }
    }

    /// Whether a page without registered memory will never get any.
    pub(super) fn is_settled(&self, space: &Space) -> bool {
        space.slot.forked.load(Ordering::SeqCst) != 0
            || self.board.stage.load(Ordering::SeqCst) == stage::FINISHED
                && lock(&self.closed).is_some_and(|closed| closed.elapsed() > GRACE)
    }

    /// Waits for something to do, at most so long.
    pub(super) fn wait(&self, most: Duration) {
        let guard = lock(&self.news_lock);
        drop(self.news.wait_timeout(guard, most));
    }

    fn tell(&self) {
        self.news.notify_all();
    }

    /// Notes what is in the way.
    pub(super) fn hinder(&self, what: &str) {
        let mut obstacle = lock(&self.obstacle);
        if obstacle.as_deref() != Some(what) {
            *obstacle = Some(what.to_owned());
        }
    }

    /// Says why the restore cannot succeed; the first reason stands.
    pub(super) fn fail(&self, error: &ServeError) {
        if !self.dir.join(FAILED).exists() {
            let _ = files::write(&self.dir, FAILED, &Failed::new(error));
        }
    }
}

/// The time now in milliseconds since 1970.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
