//! The injection, step by step. Runs in the helper process: nothing here allocates or panics.
//!
//! The last stop of the task is inside the kernel's own signal handling again, as the first one was: there the old registers and the
//! old signal mask go back, so that the kernel goes on exactly where it was, with whatever signals have arrived in between.

use std::os::fd::RawFd;

use nix::errno::Errno;

use super::blocked::Blocked;
use super::machine::Registers;
use super::rseq;
use super::tracee::{self, Stop, Tracee};

/// `O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY`: the last needs no privilege of the target, and writes by the kernel are tracked all
/// the same (asynchronous write-protection raises no fault for anybody to handle).
const FLAGS: u64 = 0o2_000_000 | 0o4_000 | 1;

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// The thread.
    pub tid: i32,
    /// A descriptor of its process.
    pub pidfd: RawFd,
    /// Address of an instruction in it that makes a system call.
    pub instruction: u64,
    /// The call it slept in before, if any.
    pub blocked: Option<Blocked>,
    /// Whether it has a seccomp filter.
    pub filtered: bool,
    /// Nanoseconds it may take to stop.
    pub patience: u64,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Here is the descriptor (in our own table).
    Done(RawFd),
    /// The target has ended.
    Gone,
    /// It may not be traced.
    Refused(Errno),
    /// It did not stop in time; nothing was changed.
    NotStopped,
    /// It runs other code.
    ForeignCode,
    /// The filter cannot be suspended.
    SeccompStays,
    /// The call failed.
    Userfaultfd(Errno),
    /// The descriptor could not be taken over.
    Descriptor(Errno),
    /// ptrace failed at this step.
    Step(i32, Errno),
}

/// Why the steps ended early.
enum Failed {
    Gone,
    Step(i32, Errno),
}

fn at(step: i32) -> impl Fn(Errno) -> Failed {
    move |error| Failed::Step(step, error)
}

/// Does the job. Gives the verdict and for how many nanoseconds the thread was stopped.
pub fn run(job: &Job) -> (Verdict, u64) {
    let tracee = match seize(job) {
        Ok(tracee) => tracee,
        Err(verdict) => return (verdict, 0),
    };
    let begin = tracee::now();
    let verdict = match steps(tracee, job, begin) {
        Ok(verdict) => verdict,
        Err(Failed::Gone) => Verdict::Gone,
        Err(Failed::Step(step, error)) => Verdict::Step(step, error),
    };
    (verdict, tracee::now().saturating_sub(begin))
}

fn seize(job: &Job) -> Result<Tracee, Verdict> {
    let whole = tracee::TRACE_SYSGOOD | tracee::SUSPEND_SECCOMP;
    let error = match Tracee::seize(job.tid, whole) {
        Ok(tracee) => return Ok(tracee),
        Err(Errno::ESRCH) => return Err(Verdict::Gone),
        Err(error) => error,
    };
    match Tracee::seize(job.tid, tracee::TRACE_SYSGOOD) {
        // Ending this process ends the tracing.
        Ok(_) if job.filtered => Err(Verdict::SeccompStays),
        Ok(tracee) => Ok(tracee),
        Err(_) => Err(Verdict::Refused(error)),
    }
}

fn steps(tracee: Tracee, job: &Job, begin: u64) -> Result<Verdict, Failed> {
    tracee.interrupt().map_err(at(1))?;
    let deadline = begin.saturating_add(job.patience);
    loop {
        match tracee.wait(deadline).map_err(at(2))? {
            None => return Ok(Verdict::NotStopped),
            Some(Stop::Gone) => return Err(Failed::Gone),
            Some(Stop::Interrupted) => break,
            Some(Stop::Call) => tracee.resume(0).map_err(at(3))?,
            // A signal that was on its way: delivered first, as if nobody were looking.
            Some(Stop::Signal(signal)) => tracee.resume(signal).map_err(at(3))?,
        }
    }
    let Some(before) = tracee.registers().map_err(at(4))? else {
        tracee.detach().map_err(at(5))?;
        return Ok(Verdict::ForeignCode);
    };
    let mut after = before.to_resume(job.blocked);
    if let Some(sequence) = tracee.sequence()
        && let Some(restart) = rseq::restart_of(sequence, after.position())
    {
        after = after.at(restart);
    }
    // For a task in sigsuspend or ppoll this is the mask from before that call, and restarting the call sets its own again.
    let mask = tracee.mask().map_err(at(6))?;
    tracee.set_mask(u64::MAX).map_err(at(7))?;
    let verdict = calls(tracee, job, &before);
    put_back(tracee, &after, mask)?;
    verdict
}

fn calls(tracee: Tracee, job: &Job, before: &Registers) -> Result<Verdict, Failed> {
    let number = u64::try_from(libc::SYS_userfaultfd).unwrap_or(u64::MAX);
    let theirs = match call(tracee, &before.for_call(job.instruction, number, FLAGS))? {
        error if error < 0 => {
            let error = i32::try_from(error.saturating_neg()).unwrap_or(libc::EINVAL);
            return Ok(Verdict::Userfaultfd(Errno::from_raw(error)));
        }
        fd => fd.cast_unsigned(),
    };
    // SAFETY: three numbers; the new descriptor is ours alone.
    let ours = unsafe { libc::syscall(libc::SYS_pidfd_getfd, libc::c_long::from(job.pidfd), theirs, 0) };
    let ours = Errno::result(ours);
    let number = u64::try_from(libc::SYS_close).unwrap_or(u64::MAX);
    let closed = call(tracee, &before.for_call(job.instruction, number, theirs));
    let ours = match ours {
        Ok(ours) => RawFd::try_from(ours).unwrap_or(-1),
        Err(error) => return closed.map(|_| Verdict::Descriptor(error)),
    };
    match closed {
        Ok(_) => Ok(Verdict::Done(ours)),
        Err(failed) => {
            // SAFETY: the descriptor was made above and nobody else knows it.
            unsafe { libc::close(ours) };
            Err(failed)
        }
    }
}

/// Lets the task make one system call; gives its result.
///
/// There is no deadline: with changed registers the task must not be left alone, whatever keeps it (a freezer, for instance). The agent
/// does not wait for that; see `helper`.
fn call(tracee: Tracee, registers: &Registers) -> Result<i64, Failed> {
    tracee.set_registers(registers).map_err(at(10))?;
    let mut signal = 0;
    loop {
        tracee.resume_to_call(signal).map_err(at(11))?;
        signal = 0;
        match tracee.wait(u64::MAX).map_err(at(12))? {
            None | Some(Stop::Interrupted) => {}
            Some(Stop::Gone) => return Err(Failed::Gone),
            // Everything else is blocked. The whole process stops now, but a traced task goes on when the tracer says so.
            Some(Stop::Signal(libc::SIGSTOP)) => signal = libc::SIGSTOP,
            Some(Stop::Signal(_)) => return Err(Failed::Step(13, Errno::EINTR)),
            Some(Stop::Call) => {
                if tracee.is_at_end_of_call().map_err(at(14))? {
                    let after = tracee.registers().map_err(at(15))?;
                    return Ok(after.map_or(-1, |registers| registers.result()));
                }
            }
        }
    }
}

/// Stops the task where the kernel handles signals, gives everything back and lets it go.
fn put_back(tracee: Tracee, registers: &Registers, mask: u64) -> Result<(), Failed> {
    tracee.interrupt().map_err(at(20))?;
    let mut signal = 0;
    loop {
        tracee.resume(signal).map_err(at(21))?;
        signal = 0;
        match tracee.wait(u64::MAX).map_err(at(22))? {
            Some(Stop::Interrupted) => break,
            Some(Stop::Gone) => return Err(Failed::Gone),
            Some(Stop::Signal(libc::SIGSTOP)) => signal = libc::SIGSTOP,
            None | Some(Stop::Signal(_) | Stop::Call) => {}
        }
    }
    tracee.set_registers(registers).map_err(at(23))?;
    tracee.set_mask(mask).map_err(at(24))?;
    tracee.detach().map_err(at(25))
}
