//! Which method works here, found out by trying on a process of our own.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use tracing::info;

use super::process::Process;
use super::scan::{Pagemap, Region, Wanted};
use super::uffd::Userfaultfd;
use super::{Method, TrackError, inject, soft_dirty};
use crate::causes::with_causes;
use crate::range::{PAGE, PAGE_BYTES};

/// How long the process of the trial may take for one step.
const STEP: Duration = Duration::from_secs(2);

/// What the trial gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The best method that works.
    pub method: Method,
    /// Why write-protection does not, with causes.
    pub write_protect: Result<(), String>,
    /// Why soft-dirty bits do not; not tried if write-protection works.
    pub soft_dirty: Option<Result<(), String>>,
}

/// The best method that works here. Tried once in the life of this process; takes some milliseconds then.
pub fn probe() -> Method {
    probed().method
}

/// The same with reasons.
pub fn probed() -> &'static Probe {
    static PROBE: OnceLock<Probe> = OnceLock::new();
    PROBE.get_or_init(|| {
        let probe = try_all();
        info!(
            method = probe.method.name(),
            write_protect = ?probe.write_protect,
            soft_dirty = ?probe.soft_dirty,
            "how writes to memory can be tracked"
        );
        probe
    })
}

fn try_all() -> Probe {
    let write_protect = super::check_page_size()
        .and_then(|()| write_protect())
        .map_err(|error| with_causes(&error));
    if write_protect.is_ok() {
        return Probe {
            method: Method::WriteProtect,
            write_protect,
            soft_dirty: None,
        };
    }
    let soft_dirty = super::check_page_size()
        .and_then(|()| soft_dirty())
        .map_err(|error| with_causes(&error));
    Probe {
        method: if soft_dirty.is_ok() {
            Method::SoftDirty
        } else {
            Method::None
        },
        write_protect,
        soft_dirty: Some(soft_dirty),
    }
}

fn write_protect() -> Result<(), TrackError> {
    let trial = Trial::begin()?;
    let failed = |errno: Errno| TrackError::NoWriteProtection(errno.into());
    let wrong = || TrackError::NoWriteProtection(io::Error::other("writes are not noted"));
    let process = trial.process()?;
    let mappings = process
        .mappings()
        .map_err(TrackError::read(trial.pid, "its mappings"))?
        .unwrap_or_default();
    let (fd, _) = inject::userfaultfd(trial.pid, &mappings, process.filtered).map_err(|source| {
        TrackError::Injection {
            pid: trial.pid,
            source,
        }
    })?;
    let userfaultfd = Userfaultfd::begin(fd).map_err(failed)?;
    let (start, end) = trial.area();
    userfaultfd.register(start, end).map_err(failed)?;
    let taken = |expected: &[Region]| {
        let found = trial.scan(Wanted::TakeWritten)?;
        if found == expected { Ok(()) } else { Err(wrong()) }
    };
    taken(&[Region::new(start, end)])?;
    taken(&[])?;
    trial.write()?;
    taken(&[trial.written()])
}

fn soft_dirty() -> Result<(), TrackError> {
    let trial = Trial::begin()?;
    let failed = |source| TrackError::SoftDirty {
        pid: trial.pid,
        source,
    };
    soft_dirty::clear(trial.pid).map_err(failed)?;
    let before = trial.scan(Wanted::SoftDirty)?;
    trial.write()?;
    if before.is_empty() && trial.scan(Wanted::SoftDirty)? == [trial.written()] {
        Ok(())
    } else {
        Err(failed(io::Error::other("the kernel keeps no soft-dirty bits")))
    }
}

/// A copy of this process with a few pages, which writes to one of them when told to. Ends with this value.
struct Trial {
    pid: i32,
    /// Private pages of the copy: `PAGES` of them.
    private: Area,
    /// One shared page; the first number says which step is wanted, the second which is done.
    shared: Area,
}

/// Pages of the trial.
const PAGES: usize = 4;
/// The one that is written.
const WRITTEN: usize = 2;

impl Trial {
    fn begin() -> Result<Self, TrackError> {
        let failed = |errno: Errno| TrackError::NoWriteProtection(errno.into());
        let shared = Area::map(PAGE_BYTES, libc::MAP_SHARED).map_err(failed)?;
        let private = Area::map(PAGES * PAGE_BYTES, libc::MAP_PRIVATE).map_err(failed)?;
        private.touch(PAGES);
        let parent = std::process::id();
        // SAFETY: without CLONE_VM and with no stack given, clone is fork: the copy has memory of its own. Other threads may hold locks in
        // it, so it must not allocate; `live` does not. No signal tells of its end, so nobody else waits for it.
        let result = unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) };
        let pid = match Errno::result(result).map_err(failed)? {
            0 => live(&shared, &private, parent),
            pid => i32::try_from(pid).map_err(|_| failed(Errno::EOVERFLOW))?,
        };
        let trial = Self { pid, private, shared };
        trial.step(1)?;
        Ok(trial)
    }

    fn process(&self) -> Result<Process, TrackError> {
        Process::read(self.pid)
            .and_then(|process| process.ok_or_else(|| io::ErrorKind::NotFound.into()))
            .map_err(TrackError::read(self.pid, "its state"))
    }

    fn area(&self) -> (u64, u64) {
        let start = self.private.address.addr().get() as u64;
        (start, start + PAGES as u64 * PAGE)
    }

    fn written(&self) -> Region {
        let start = self.area().0 + WRITTEN as u64 * PAGE;
        Region::new(start, start + PAGE)
    }

    fn scan(&self, wanted: Wanted) -> Result<Vec<Region>, TrackError> {
        let failed = TrackError::read(self.pid, "its page map");
        let pagemap = Pagemap::open(self.pid)
            .and_then(|pagemap| pagemap.ok_or_else(|| io::ErrorKind::NotFound.into()))
            .map_err(&failed)?;
        let (start, end) = self.area();
        let mut found = Vec::new();
        pagemap
            .scan(wanted, start, end, &mut found)
            .map_err(|errno| failed(errno.into()))?;
        Ok(found)
    }

    fn write(&self) -> Result<(), TrackError> {
        self.step(2)
    }

    fn step(&self, step: u32) -> Result<(), TrackError> {
        let end = Instant::now() + STEP;
        let [wanted, done] = self.shared.words();
        wanted.store(step, Ordering::SeqCst);
        while done.load(Ordering::SeqCst) != step {
            if Instant::now() > end {
                let source = io::ErrorKind::TimedOut.into();
                return Err(TrackError::read(self.pid, "the trial")(source));
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        Ok(())
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // SAFETY: a child of ours that was not waited for: the number is still its own.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), libc::__WALL);
        }
    }
}

/// The copy's life: no allocation. Ends when its parent does.
fn live(shared: &Area, private: &Area, parent: u32) -> ! {
    let [wanted, done] = shared.words();
    let pause = libc::timespec {
        tv_sec: 0,
        tv_nsec: 200_000,
    };
    // SAFETY: calls with numbers and live values only; all signals but SIGKILL are blocked first, since their handlers are the agent's.
    unsafe {
        let all = u64::MAX;
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const all,
            std::ptr::null::<u64>(),
            size_of::<u64>(),
        );
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        while u32::try_from(libc::getppid()) == Ok(parent) {
            let step = wanted.load(Ordering::SeqCst);
            if step != done.load(Ordering::SeqCst) {
                if step == 1 {
                    private.touch(PAGES);
                } else {
                    private.write(WRITTEN);
                }
                done.store(step, Ordering::SeqCst);
            }
            libc::nanosleep(&raw const pause, std::ptr::null_mut());
        }
        libc::_exit(0)
    }
}

/// A mapping of our own.
struct Area {
    address: std::ptr::NonNull<u8>,
    length: usize,
}

impl Area {
    fn map(length: usize, flags: libc::c_int) -> Result<Self, Errno> {
        // SAFETY: a new mapping at an address the kernel chooses.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                flags | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let address = std::ptr::NonNull::new(address.cast()).ok_or(Errno::ENOMEM)?;
        Ok(Self { address, length })
    }

    /// Writes the first pages.
    fn touch(&self, pages: usize) {
        for page in 0..pages {
            self.write(page);
        }
    }

    /// Writes one page.
    fn write(&self, page: usize) {
        let offset = (page * PAGE_BYTES).min(self.length - 1);
        // SAFETY: inside of the mapping, which is writable and lives as long as this value.
        unsafe { self.address.add(offset).write_volatile(7) };
    }

    fn words(&self) -> [&AtomicU32; 2] {
        let first = self.address.cast::<AtomicU32>();
        // SAFETY: the mapping has room for both, is aligned to a page, starts as zeros, and lives as long as this value.
        unsafe { [first.as_ref(), first.add(1).as_ref()] }
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: `map` made this mapping, and nothing borrows from it any more.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.length) };
    }
}
