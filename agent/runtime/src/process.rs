//! The process calls that need `unsafe`: siblings, descriptors of processes, what becomes of a child when its parent dies.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::Signal;

/// What [`split`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The caller; the PID is that of the new process.
    Caller(i32),
    /// The new process, a sibling of the caller.
    Sibling,
}

/// Makes a copy of this process as its *sibling*: a child of this process's parent. Whoever waits for this process's children
/// sees nothing of it. For single-threaded programs only.
pub fn split() -> Result<Side, Errno> {
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and with no stack given, clone is fork: both sides go on with memory of their own. The caller has
    // but one thread (the relay's launcher), so no lock can stay held in the copy.
    let result = unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(flags), 0, 0, 0, 0) };
    match Errno::result(result)? {
        0 => Ok(Side::Sibling),
        pid => Ok(Side::Caller(i32::try_from(pid).map_err(|_| Errno::EOVERFLOW)?)),
    }
}

/// Makes a copy of this process as its child: `None` in the child, the child's PID in the caller. For single-threaded programs only.
pub fn fork() -> Result<Option<i32>, Errno> {
    // SAFETY: the caller has but one thread (the relay), so no lock can stay held in the copy.
    let pid = Errno::result(unsafe { libc::fork() })?;
    Ok((pid != 0).then_some(pid))
}

/// A descriptor of a process: readable when the process has ended.
#[derive(Debug)]
pub struct Process {
    fd: OwnedFd,
    pid: i32,
}

impl Process {
    /// Opens a process. `ESRCH` if there is none.
    pub fn open(pid: i32) -> Result<Self, Errno> {
        // SAFETY: pidfd_open takes two numbers and gives a new descriptor (close-on-exec) or an error.
        let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid), 0) })?;
        let fd = RawFd::try_from(fd).map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, pid })
    }

    /// The process's PID.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The same, its descriptor numbered at least `lowest`.
    pub fn raise(self, lowest: RawFd) -> Result<Self, Errno> {
        Ok(Self {
            fd: raise(self.fd, lowest)?,
            pid: self.pid,
        })
    }

    /// Kills the process; one that has ended already is no error.
    pub fn kill(&self) -> Result<(), Errno> {
        let none = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is ours, and a null siginfo means "as kill does".
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                libc::c_long::from(self.fd.as_raw_fd()),
                libc::c_long::from(Signal::SIGKILL as i32),
                none,
                0,
            )
        };
        match Errno::result(result) {
            Ok(_) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Makes a new descriptor numbered exactly `number` (close-on-exec) that is the same open file as `fd`. `EBUSY` if that number is
/// in use here.
pub fn place(fd: impl AsFd, number: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: F_DUPFD_CLOEXEC takes the lowest free number from `number` on; it changes no descriptor that exists.
    let got = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_DUPFD_CLOEXEC, number) };
    let got = Errno::result(got)?;
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
    let placed = unsafe { OwnedFd::from_raw_fd(got) };
    if got == number {
        Ok(placed)
    } else {
        Err(Errno::EBUSY)
    }
}

/// Moves a descriptor to a number of at least `lowest`.
pub fn raise(fd: OwnedFd, lowest: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: as in `place`.
    let got = Errno::result(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) })?;
    drop(fd);
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(got) })
}

/// Puts this process before all ordinary ones where the processor is short. Without the right to it nothing changes.
pub fn hurry() {
    const HIGHEST: i32 = -20;
    // SAFETY: takes three numbers.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, HIGHEST) };
}

/// Makes a copy of a descriptor that is kept over exec, numbered at least `lowest`, and gives its number. It belongs to nobody: for a
/// program that is about to become another one.
pub fn leave_open(fd: impl AsFd, lowest: RawFd) -> Result<RawFd, Errno> {
    // SAFETY: F_DUPFD takes the lowest free number from `lowest` on; it changes no descriptor that exists.
    Errno::result(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_DUPFD, lowest) })
}

/// Takes over a descriptor that this process was started with.
pub fn adopt(number: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: F_GETFD only looks.
    Errno::result(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    // SAFETY: the descriptor is open, was handed to us by our parent, and the caller adopts each number once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Closes every descriptor below `end` but 0, 1 and 2. To be called only by a program that owns none of them as a Rust value.
pub fn close_below(end: RawFd) -> Result<(), Errno> {
    // SAFETY: the caller owns no descriptor in this range, so none is closed behind a value's back.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_long::from(end - 1), 0) })
        .map(drop)
}

/// Closes 0, 1 and 2, for a copy of a program that has nothing to say and shall not keep the streams of others open.
pub fn close_streams() {
    for number in 0..3 {
        // SAFETY: no Rust value owns the standard streams; writing to them gives an error from now on.
        unsafe { libc::close(number) };
    }
}

/// Puts `fd` in place of descriptor `number`, kept over exec.
pub fn install(fd: impl AsFd, number: RawFd) -> Result<(), Errno> {
    // SAFETY: the caller says that `number` is to be replaced; dup2 clears close-on-exec of the copy.
    Errno::result(unsafe { libc::dup2(fd.as_fd().as_raw_fd(), number) }).map(drop)
}

/// Has the kernel kill the command's process as soon as the thread that starts it ends.
pub fn die_with_parent(command: &mut Command) {
    let parent = nix::unistd::getpid();
    // SAFETY: between fork and exec only async-signal-safe calls are made: prctl, getppid.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the call above.
            if nix::unistd::getppid() == parent {
                Ok(())
            } else {
                Err(std::io::Error::from_raw_os_error(libc::ESRCH))
            }
        });
    }
}
