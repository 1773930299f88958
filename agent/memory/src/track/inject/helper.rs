//! The process that traces.
//!
//! While a call is injected, the target's registers are not its own. Were the tracer killed at that moment, the kernel would let the
//! target run on with them. So the tracer is a process of its own, made for one injection: a copy of the agent that shares only its
//! table of descriptors. Killing the agent, even with `SIGKILL`, leaves the helper to finish within a fraction of a millisecond. What
//! remains is somebody killing that very process, or all processes of the agent's cgroup, in that fraction.
//!
//! The copy also keeps the agent's other `wait` calls from seeing the target, and lets the agent give up waiting where the helper must
//! not: see `sequence::call`.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::error::InjectError;
use super::sequence::{self, Job, Verdict};

/// How long a helper may take longer than the target's patience.
const SLACK: Duration = Duration::from_secs(2);

const UNDECIDED: i32 = 0;
const DONE: i32 = 1;
const ABANDONED: i32 = 2;

/// What the helper tells, in memory shared with it.
#[repr(C)]
struct Report {
    state: AtomicI32,
    kind: AtomicI32,
    detail: AtomicI32,
    errno: AtomicI32,
    stopped: AtomicU64,
}

/// A page shared with the helper.
struct Shared(std::ptr::NonNull<Report>);

impl Shared {
    fn new() -> Result<Self, Errno> {
        // SAFETY: a new mapping, at an address the kernel chooses.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Report>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        std::ptr::NonNull::new(address.cast())
            .map(Self)
            .ok_or(Errno::ENOMEM)
    }

    fn report(&self) -> &Report {
        // SAFETY: mapped until drop, aligned to a page, zeros are a valid report, and all access is atomic.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: this mapping was made by `new`; the helper has one of its own.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<Report>()) };
    }
}

/// Helpers that were given up and have not ended yet.
static LATE: Mutex<Vec<(i32, OwnedFd)>> = Mutex::new(Vec::new());

/// Does the job in a process of its own. Gives the descriptor and how long the target was stopped.
pub fn run(job: &Job) -> Result<(OwnedFd, Duration), InjectError> {
    let failed = |errno: Errno| InjectError::Helper(io::Error::from(errno));
    reap_late();
    let shared = Shared::new().map_err(failed)?;
    let mut pidfd: RawFd = -1;
    let flags = libc::CLONE_FILES | libc::CLONE_PIDFD;
    // SAFETY: without CLONE_VM and with no stack given, clone is fork: the copy has memory of its own. Other threads may hold locks in
    // the copy, so it must not allocate; `child` and all it calls do not. No signal tells of its end, so nobody else waits for it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone,
            libc::c_long::from(flags),
            0,
            (&raw mut pidfd),
            0,
            0,
        )
    };
    let pid = match Errno::result(result).map_err(failed)? {
        0 => child(job, shared.report()),
        pid => i32::try_from(pid).map_err(|_| failed(Errno::EOVERFLOW))?,
    };
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let limit = Duration::from_nanos(job.patience).saturating_add(SLACK);
    let ended = ends_within(&pidfd, limit);
    let previous = shared.report().state.swap(ABANDONED, Ordering::SeqCst);
    if ended || previous == DONE {
        reap(pid, 0);
    } else {
        LATE.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((pid, pidfd));
        return Err(InjectError::Stuck);
    }
    if previous != DONE {
        return Err(failed(Errno::ECHILD));
    }
    let report = shared.report();
    let stopped = Duration::from_nanos(report.stopped.load(Ordering::SeqCst));
    verdict_of(report).map(|fd| (fd, stopped))
}

fn ends_within(pidfd: &OwnedFd, limit: Duration) -> bool {
    let end = std::time::Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(std::time::Instant::now());
        let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(pidfd), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

fn reap(pid: i32, flags: libc::c_int) {
    // SAFETY: a child of ours, whose status nobody wants.
    while unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL | flags) } < 0
        && Errno::last() == Errno::EINTR
    {}
}

fn reap_late() {
    let mut late = LATE.lock().unwrap_or_else(PoisonError::into_inner);
    late.retain(|(pid, pidfd)| {
        let ended = ends_within(pidfd, Duration::ZERO);
        if ended {
            reap(*pid, libc::WNOHANG);
        }
        !ended
    });
}

/// The helper's life.
fn child(job: &Job, report: &Report) -> ! {
    let all = u64::MAX;
    // SAFETY: this process has one thread and signal actions of its own. The action is a zeroed structure, which is the default one.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const all,
            std::ptr::null::<u64>(),
            size_of::<u64>(),
        );
        let default: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGCHLD, &raw const default, std::ptr::null_mut());
    }
    let (verdict, stopped) = sequence::run(job);
    let (kind, detail, errno) = encode(verdict);
    report.kind.store(kind, Ordering::SeqCst);
    report.detail.store(detail, Ordering::SeqCst);
    report.errno.store(errno, Ordering::SeqCst);
    report.stopped.store(stopped, Ordering::SeqCst);
    let previous = report
        .state
        .compare_exchange(UNDECIDED, DONE, Ordering::SeqCst, Ordering::SeqCst);
    // SAFETY: the descriptor was made by this process and is now nobody's; the process ends without any clean-up of the copied agent.
    unsafe {
        if previous.is_err()
            && let Verdict::Done(fd) = verdict
        {
            libc::close(fd);
        }
        libc::_exit(0)
    }
}

fn encode(verdict: Verdict) -> (i32, i32, i32) {
    match verdict {
        Verdict::Done(fd) => (1, fd, 0),
        Verdict::Gone => (2, 0, 0),
        Verdict::Refused(error) => (3, 0, error as i32),
        Verdict::NotStopped => (4, 0, 0),
        Verdict::ForeignCode => (5, 0, 0),
        Verdict::SeccompStays => (6, 0, 0),
        Verdict::Userfaultfd(error) => (7, 0, error as i32),
        Verdict::Descriptor(error) => (8, 0, error as i32),
        Verdict::Step(step, error) => (9, step, error as i32),
    }
}

fn verdict_of(report: &Report) -> Result<OwnedFd, InjectError> {
    let detail = report.detail.load(Ordering::SeqCst);
    let error = io::Error::from_raw_os_error(report.errno.load(Ordering::SeqCst));
    Err(match report.kind.load(Ordering::SeqCst) {
        // SAFETY: the helper made this descriptor in the table we share and left it to us.
        1 if detail >= 0 => return Ok(unsafe { OwnedFd::from_raw_fd(detail) }),
        2 => InjectError::Gone,
        3 => InjectError::Refused(error),
        4 => InjectError::NotStopped,
        5 => InjectError::ForeignCode,
        6 => InjectError::SeccompStays,
        7 => InjectError::Userfaultfd(error),
        8 => InjectError::Descriptor(error),
        9 => InjectError::Step {
            step: detail,
            source: error,
        },
        _ => InjectError::Helper(io::Error::from(Errno::ECHILD)),
    })
}

/// A descriptor of a process.
pub fn pidfd(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: pidfd_open takes two numbers and gives a new descriptor (close-on-exec) or an error.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid), 0) })?;
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EOVERFLOW)?;
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The number of a descriptor, for the job.
pub fn number(fd: &OwnedFd) -> RawFd {
    fd.as_raw_fd()
}
