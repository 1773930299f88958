//! ptrace, as thin as possible. Only for the helper process: nothing here allocates or panics.

use std::mem::{MaybeUninit, size_of};

use nix::errno::Errno;

use super::machine::Registers;
use super::rseq::{self, Sequence};

const GETREGSET: libc::c_long = 0x4204;
const SETREGSET: libc::c_long = 0x4205;
const SEIZE: libc::c_long = 0x4206;
const INTERRUPT: libc::c_long = 0x4207;
const GETSIGMASK: libc::c_long = 0x420a;
const SETSIGMASK: libc::c_long = 0x420b;
const GET_SYSCALL_INFO: libc::c_long = 0x420e;
const GET_RSEQ_CONFIGURATION: libc::c_long = 0x420f;
const PEEKDATA: libc::c_long = 2;
const CONT: libc::c_long = 7;
const DETACH: libc::c_long = 17;
const SYSCALL: libc::c_long = 24;

/// Stops of calls carry a mark of their own.
pub const TRACE_SYSGOOD: usize = 1;
/// The task's seccomp filter sleeps while it is traced; needs `CAP_SYS_ADMIN` and a tracer without a filter.
pub const SUSPEND_SECCOMP: usize = 1 << 21;

const NT_PRSTATUS: usize = 1;
const EVENT_STOP: libc::c_int = 128;
const SYSCALL_STOP: libc::c_int = libc::SIGTRAP | 0x80;

/// How a task has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Stopped by an interrupt, or together with its stopped process.
    Interrupted,
    /// Stopped at the begin or the end of a system call.
    Call,
    /// About to get this signal.
    Signal(libc::c_int),
    /// Ended.
    Gone,
}

/// A task traced by this thread.
#[derive(Debug, Clone, Copy)]
pub struct Tracee(libc::c_long);

impl Tracee {
    /// Begins to trace a task.
    pub fn seize(tid: i32, options: usize) -> Result<Self, Errno> {
        let tracee = Self(libc::c_long::from(tid));
        tracee.request(SEIZE, 0, options)?;
        Ok(tracee)
    }

    fn request(self, request: libc::c_long, address: usize, data: usize) -> Result<usize, Errno> {
        // SAFETY: every pointer handed in by the methods below is to a live value of the size the request writes; the others are numbers.
        let result = unsafe { libc::syscall(libc::SYS_ptrace, request, self.0, address, data) };
        Errno::result(result).map(|value| usize::try_from(value).unwrap_or(0))
    }

    /// Asks it to stop.
    pub fn interrupt(self) -> Result<(), Errno> {
        self.request(INTERRUPT, 0, 0).map(drop)
    }

    /// Lets it run, with a signal (0: none).
    pub fn resume(self, signal: libc::c_int) -> Result<(), Errno> {
        self.request(CONT, 0, usize::try_from(signal).unwrap_or(0))
            .map(drop)
    }

    /// Lets it run to the begin or end of its next system call, with a signal (0: none).
    pub fn resume_to_call(self, signal: libc::c_int) -> Result<(), Errno> {
        self.request(SYSCALL, 0, usize::try_from(signal).unwrap_or(0))
            .map(drop)
    }

    /// Ends tracing; the task runs, or stays stopped with its process.
    pub fn detach(self) -> Result<(), Errno> {
        self.request(DETACH, 0, 0).map(drop)
    }

    /// The signals it blocks.
    pub fn mask(self) -> Result<u64, Errno> {
        let mut mask = 0_u64;
        self.request(GETSIGMASK, size_of::<u64>(), (&raw mut mask).addr())?;
        Ok(mask)
    }

    /// Sets the signals it blocks.
    pub fn set_mask(self, mask: u64) -> Result<(), Errno> {
        self.request(SETSIGMASK, size_of::<u64>(), (&raw const mask).addr())
            .map(drop)
    }

    /// Its registers; `None` if they are not those of 64-bit code.
    pub fn registers(self) -> Result<Option<Registers>, Errno> {
        let mut registers = Registers::default();
        let mut vector = libc::iovec {
            iov_base: (&raw mut registers).cast(),
            iov_len: size_of::<Registers>(),
        };
        self.request(GETREGSET, NT_PRSTATUS, (&raw mut vector).addr())?;
        let whole = vector.iov_len == size_of::<Registers>();
        Ok((whole && registers.is_native()).then_some(registers))
    }

    /// Sets its registers.
    pub fn set_registers(self, registers: &Registers) -> Result<(), Errno> {
        let vector = libc::iovec {
            iov_base: std::ptr::from_ref(registers).cast_mut().cast(),
            iov_len: size_of::<Registers>(),
        };
        self.request(SETREGSET, NT_PRSTATUS, (&raw const vector).addr())
            .map(drop)
    }

    /// Whether a stop at a call is the one at its end (`PTRACE_SYSCALL_INFO_EXIT`).
    pub fn is_at_end_of_call(self) -> Result<bool, Errno> {
        let mut info = [0_u8; 88];
        self.request(GET_SYSCALL_INFO, info.len(), (&raw mut info).addr())?;
        Ok(info[0] == 2)
    }

    fn word(self, address: u64) -> Result<u64, Errno> {
        let mut word = 0_u64;
        let address = usize::try_from(address).map_err(|_| Errno::EFAULT)?;
        self.request(PEEKDATA, address, (&raw mut word).addr())?;
        Ok(word)
    }

    /// The restartable sequence the task has announced, if any.
    pub fn sequence(self) -> Option<Sequence> {
        /// `struct ptrace_rseq_configuration`.
        #[repr(C)]
        struct Configuration {
            area: u64,
            size: u32,
            signature: u32,
            flags: u32,
            pad: u32,
        }
        let mut configuration = MaybeUninit::<Configuration>::zeroed();
        let size = size_of::<Configuration>();
        self.request(GET_RSEQ_CONFIGURATION, size, configuration.as_mut_ptr().addr())
            .ok()?;
        // SAFETY: all fields are numbers, for which zeros, and whatever the kernel wrote over them, are valid.
        let area = unsafe { configuration.assume_init() }.area;
        if area == 0 {
            return None;
        }
        let announced = self.word(area.wrapping_add(rseq::POINTER)).ok()?;
        if announced == 0 {
            return None;
        }
        Some(Sequence {
            start: self.word(announced.wrapping_add(8)).ok()?,
            length: self.word(announced.wrapping_add(16)).ok()?,
            abort: self.word(announced.wrapping_add(24)).ok()?,
        })
    }

    /// Waits until the task changes, at most until `deadline` (nanoseconds of the monotonic clock). `None` if it did not.
    ///
    /// `SIGCHLD` has to be blocked and to have its default action.
    pub fn wait(self, deadline: u64) -> Result<Option<Stop>, Errno> {
        loop {
            let mut status = 0;
            // SAFETY: the status is a live integer; the other arguments are numbers.
            let result = unsafe {
                libc::syscall(
                    libc::SYS_wait4,
                    self.0,
                    (&raw mut status),
                    libc::WNOHANG | libc::__WALL,
                    0,
                )
            };
            match Errno::result(result) {
                Ok(0) => {}
                Ok(_) => return Ok(Some(read(status))),
                Err(Errno::ECHILD) => return Ok(Some(Stop::Gone)),
                Err(error) => return Err(error),
            }
            let now = now();
            if now >= deadline {
                return Ok(None);
            }
            await_child(deadline.saturating_sub(now));
        }
    }
}

fn read(status: libc::c_int) -> Stop {
    if !libc::WIFSTOPPED(status) {
        return Stop::Gone;
    }
    match (status >> 16, libc::WSTOPSIG(status)) {
        (EVENT_STOP, _) => Stop::Interrupted,
        (_, SYSCALL_STOP) => Stop::Call,
        (_, signal) => Stop::Signal(signal),
    }
}

/// Nanoseconds of the monotonic clock.
pub fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the time is a live value of the right type.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds
        .wrapping_mul(1_000_000_000)
        .wrapping_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Sleeps until something happens to a child or a traced task, at most this many nanoseconds.
fn await_child(nanoseconds: u64) {
    let wanted = 1_u64 << (libc::SIGCHLD - 1);
    let limit = libc::timespec {
        tv_sec: libc::time_t::try_from(nanoseconds / 1_000_000_000).unwrap_or(1),
        tv_nsec: libc::c_long::try_from(nanoseconds % 1_000_000_000).unwrap_or(0),
    };
    // SAFETY: set and time are live for the call; no information about the signal is wanted.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigtimedwait,
            &raw const wanted,
            std::ptr::null::<libc::siginfo_t>(),
            &raw const limit,
            size_of::<u64>(),
        )
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_are_told_apart() {
        let stopped = |event: i32, signal: i32| (event << 16) | (signal << 8) | 0x7f;
        assert_eq!(read(stopped(128, libc::SIGTRAP)), Stop::Interrupted);
        assert_eq!(read(stopped(128, libc::SIGSTOP)), Stop::Interrupted);
        assert_eq!(read(stopped(0, libc::SIGTRAP | 0x80)), Stop::Call);
        assert_eq!(read(stopped(0, libc::SIGTRAP)), Stop::Signal(libc::SIGTRAP));
        assert_eq!(read(stopped(0, libc::SIGUSR1)), Stop::Signal(libc::SIGUSR1));
        assert_eq!(read(0), Stop::Gone, "exited");
        assert_eq!(read(libc::SIGKILL), Stop::Gone, "killed");
    }
}
