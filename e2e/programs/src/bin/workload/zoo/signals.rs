//! Signals that wait to be taken, an interval timer, a POSIX timer.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::board::{Board, same};

static ALARMS: AtomicU64 = AtomicU64::new(0);
/// Without a tick of a timer of 100 ms for so long, it is lost.
const PATIENCE: Duration = Duration::from_secs(20);

extern "C" fn on_alarm(_: libc::c_int) {
    ALARMS.fetch_add(1, Ordering::SeqCst);
}

fn checked(result: libc::c_int, what: &str) -> Result<libc::c_int, Failure> {
    if result < 0 {
        return Err(format!("{what}: {}", std::io::Error::last_os_error()).into());
    }
    Ok(result)
}

fn set(signals: &[libc::c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset fills the set; sigaddset changes it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}

fn queued() -> libc::c_int {
    libc::SIGRTMIN() + 3
}

/// Block, in this thread and all that it starts, what is to stay pending.
pub(super) fn block() -> Result<(), Failure> {
    let blocked = set(&[libc::SIGUSR1, libc::SIGALRM, queued()]);
    // SAFETY: a valid set; the old one is not asked for.
    let result = unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const blocked, ptr::null_mut()) };
    checked(result, "sigprocmask")?;
    Ok(())
}

fn send(value: u64) -> Result<(), Failure> {
    let value = libc::sigval {
        sival_ptr: ptr::without_provenance_mut(usize::try_from(value)?),
    };
    // SAFETY: the value is a number, never dereferenced.
    let result = unsafe { libc::sigqueue(libc::getpid(), queued(), value) };
    checked(result, "sigqueue")?;
    Ok(())
}

fn take() -> Result<u64, Failure> {
    let wanted = set(&[queued()]);
    let mut about = MaybeUninit::<libc::siginfo_t>::zeroed();
    let now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: all three point to valid objects; siginfo is filled when the call succeeds, which is checked.
    let value = unsafe {
        checked(
            libc::sigtimedwait(&raw const wanted, about.as_mut_ptr(), &raw const now),
            "no queued signal is left",
        )?;
        about.assume_init().si_value().sival_ptr
    };
    Ok(value.addr() as u64)
}

pub(super) fn keep(board: &Board) -> Result<(), Failure> {
    // SAFETY: plain system calls on this process.
    checked(unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) }, "kill")?;
    board.keep("a pending signal", |_| {
        let mut pending = set(&[]);
        // SAFETY: the set is valid.
        let is_pending = unsafe {
            checked(libc::sigpending(&raw mut pending), "sigpending")?;
            libc::sigismember(&raw const pending, libc::SIGUSR1)
        };
        same("SIGUSR1 pending", is_pending, 1)
    });
    send(1)?;
    send(2)?;
    board.keep("queued signals", |round| {
        same("the first value", take()?, round)?;
        same("the second value", take()?, round + 1)?;
        send(round + 1)?;
        send(round + 2)
    });
    interval_timer(board)?;
    posix_timer(board)
}

fn interval_timer(board: &Board) -> Result<(), Failure> {
    // SAFETY: the handler only adds to an atomic; the structures are fully filled.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_alarm as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        checked(
            libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut()),
            "sigaction",
        )?;
        let every = libc::timeval {
            tv_sec: 0,
            tv_usec: 100_000,
        };
        let timer = libc::itimerval {
            it_interval: every,
            it_value: every,
        };
        checked(
            libc::syscall(
                libc::SYS_setitimer,
                libc::ITIMER_REAL,
                &raw const timer,
                ptr::null_mut::<()>(),
            )
            .try_into()?,
            "setitimer",
        )?;
    }
    // One thread takes all alarms, so that they interrupt no other check.
    std::thread::spawn(|| -> Result<(), Failure> {
        let alarm = set(&[libc::SIGALRM]);
        // SAFETY: a valid set; the old one is not asked for.
        let result = unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const alarm, ptr::null_mut()) };
        same("the result of pthread_sigmask", result, 0)?;
        loop {
            std::thread::park();
        }
    });
    let (mut last, mut since) = (0, Instant::now());
    board.keep("an interval timer", move |_| {
        let now = ALARMS.load(Ordering::SeqCst);
        if now > last {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > PATIENCE {
            return Err(format!("no alarm came after number {last}").into());
        }
        Ok(())
    });
    Ok(())
}

fn posix_timer(board: &Board) -> Result<(), Failure> {
    let mut timer: libc::timer_t = ptr::null_mut();
    // SAFETY: the event says that nothing is sent; structures are fully filled.
    unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_NONE;
        checked(
            libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer),
            "timer_create",
        )?;
        let interval = libc::timespec {
            tv_sec: 3,
            tv_nsec: 7,
        };
        let value = libc::itimerspec {
            it_interval: interval,
            it_value: interval,
        };
        checked(
            libc::timer_settime(timer, 0, &raw const value, ptr::null_mut()),
            "timer_settime",
        )?;
    }
    let number = timer.addr();
    board.keep("a POSIX timer", move |_| {
        let mut value = MaybeUninit::<libc::itimerspec>::zeroed();
        // SAFETY: the timer was created above and is never deleted.
        let value = unsafe {
            checked(
                libc::timer_gettime(ptr::without_provenance_mut(number), value.as_mut_ptr()),
                "timer_gettime",
            )?;
            value.assume_init()
        };
        same(
            "its interval",
            (value.it_interval.tv_sec, value.it_interval.tv_nsec),
            (3, 7),
        )?;
        same(
            "that it runs",
            value.it_value.tv_sec != 0 || value.it_value.tv_nsec != 0,
            true,
        )
    });
    Ok(())
}
