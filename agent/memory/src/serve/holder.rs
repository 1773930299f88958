//! The holder: listens, then keeps a worker alive.

use std::os::fd::{AsFd, IntoRawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, clone};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

use super::ServeError;
use super::board::Board;
use super::files::{self, CONFIG, Config, FAILED, Failed};
use super::worker::{self, exit, unix_ms};

/// Bytes of a worker's first stack.
const STACK: usize = 1024 * 1024;
/// So many workers are started without a pause.
const EAGER: u32 = 10;

/// Serves the directory to the end: returns once every page is filled (0), or once the restore has failed and all its processes are gone
/// (3). If it never came to a restore, the error is in [`FAILED`], too. The calling process must have one thread.
pub fn run(dir: &Path) -> Result<u8, ServeError> {
    let result = serve(dir);
    if let Err(error) = &result {
        files::write(dir, FAILED, &Failed::new(error))?;
    }
    result
}

fn serve(dir: &Path) -> Result<u8, ServeError> {
    let config: Config = files::read(dir, CONFIG)?.ok_or_else(|| ServeError::NoConfig {
        path: dir.join(CONFIG),
    })?;
    // Whoever ends the caller's session or runs out of memory should not end this: pages would be lost.
    let _ = nix::unistd::setsid();
    let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    let board = Board::new().map_err(|errno| ServeError::io("share", dir, errno.into()))?;
    let connection = connect(&config)?;
    board.connection.store(connection, Ordering::SeqCst);
    let mut stack = vec![0_u8; STACK];
    loop {
        let started = board.workers.fetch_add(1, Ordering::SeqCst);
        if started >= EAGER {
            std::thread::sleep(Duration::from_secs(1));
        }
        let worker = start(board, dir, &config, &mut stack)?;
        if let Some(code @ (exit::DONE | exit::FAILED)) = wait(worker) {
            return Ok(code);
        }
        // Killed, or an error that the next one may not meet: as long as this process lives, nothing is lost.
    }
}

/// Waits for CRIU. The path exists only once it can be connected to.
fn connect(config: &Config) -> Result<i32, ServeError> {
    let path = &config.socket;
    let io = |source| ServeError::io("listen at", path, source);
    let hidden = path.with_extension("new");
    let _ = std::fs::remove_file(&hidden);
    let listener = UnixListener::bind(&hidden).map_err(io)?;
    std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o600)).map_err(io)?;
    std::fs::rename(&hidden, path).map_err(io)?;
    let connection = accept(&listener, config.deadline_ms).map_err(io);
    let _ = std::fs::remove_file(path);
    connection?.ok_or(ServeError::NoConnection)
}

fn accept(listener: &UnixListener, deadline_ms: u64) -> std::io::Result<Option<i32>> {
    loop {
        let left = deadline_ms.saturating_sub(unix_ms());
        if left == 0 {
            return Ok(None);
        }
        let timeout = PollTimeout::from(u16::try_from(left).unwrap_or(u16::MAX));
        match poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return listener.accept().map(|(stream, _)| Some(stream.into_raw_fd())),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Starts a worker that shares this process's descriptors, but not its memory.
fn start(board: &'static Board, dir: &Path, config: &Config, stack: &mut [u8]) -> Result<Pid, ServeError> {
    let holder = getpid().as_raw();
    let child = || {
        // A thread that dies must not leave the others behind with half a state: the next worker takes up what is on the board.
        std::panic::set_hook(Box::new(|_| std::process::abort()));
        let result = worker::run(board, dir.to_path_buf(), config.clone(), holder);
        // Not by returning: that ends this thread alone, and the process then has the status of whichever thread ends last.
        // SAFETY: a plain system call.
        unsafe { libc::_exit(result.map_or(1, i32::from)) }
    };
    // SAFETY: this process has one thread, so the child finds no lock taken; the stack is copied with everything else and large enough.
    unsafe {
        clone(
            Box::new(child),
            stack,
            CloneFlags::CLONE_FILES,
            Some(Signal::SIGCHLD as i32),
        )
    }
    .map_err(|errno| ServeError::io("start a worker in", dir, errno.into()))
}

fn wait(worker: Pid) -> Option<u8> {
    loop {
        match waitpid(worker, None) {
            Ok(WaitStatus::Exited(_, code)) => return u8::try_from(code).ok(),
            Ok(WaitStatus::Signaled(..)) | Err(Errno::ECHILD) => return None,
            _ => {}
        }
    }
}
