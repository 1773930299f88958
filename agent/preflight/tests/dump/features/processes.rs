//! What processes are, more than what they have.

use super::{Tried, call};

/// A child that runs `work` and then waits for ever.
fn child(work: impl FnOnce() -> i32) -> Result<i32, String> {
    // SAFETY: this process has one thread.
    let child = call("fork", unsafe { libc::fork() }.into())?;
    if child == 0 {
        let result = work();
        if result < 0 {
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(1) };
        }
        loop {
            // SAFETY: a plain system call.
            unsafe { libc::pause() };
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(50));
    let mut status = 0;
    // SAFETY: a plain system call.
    if unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == child {
        return Err("the child failed".into());
    }
    Ok(child)
}

pub fn idle_child() -> Result<i32, String> {
    child(|| 0)
}

pub fn zombie() -> Tried {
    // SAFETY: this process has one thread; the child ends at once.
    unsafe {
        if libc::fork() == 0 {
            libc::_exit(0);
        }
    }
    Ok(())
}

pub fn threads() -> Tried {
    std::thread::spawn(|| {
        loop {
            std::thread::park();
        }
    });
    Ok(())
}

pub fn stopped() -> Tried {
    let child = idle_child()?;
    // SAFETY: a plain system call.
    call("kill", unsafe { libc::kill(child, libc::SIGSTOP) }.into()).map(drop)
}

pub fn traced() -> Tried {
    let child = idle_child()?;
    // SAFETY: a plain system call.
    call("ptrace", unsafe { libc::ptrace(libc::PTRACE_SEIZE, child, 0, 0) }).map(drop)
}

/// The parent of a child by vfork waits without being disturbed until that runs a program or ends.
pub fn vfork() -> Tried {
    child(|| {
        // SAFETY: no function of the standard library is called in the child of the vfork.
        unsafe {
            if libc::syscall(
                libc::SYS_clone,
                libc::CLONE_VFORK | libc::CLONE_VM | libc::SIGCHLD,
                0,
                0,
                0,
                0,
            ) == 0
            {
                loop {
                    libc::syscall(libc::SYS_pause);
                }
            }
        }
        0
    })
    .map(drop)
}

fn in_namespace(flags: i32) -> Tried {
    // SAFETY: a plain system call.
    child(|| unsafe { libc::unshare(flags) }).map(drop)
}

pub fn user_namespace() -> Tried {
    in_namespace(libc::CLONE_NEWUSER)
}

pub fn mount_namespace() -> Tried {
    in_namespace(libc::CLONE_NEWNS)
}

pub fn net_namespace() -> Tried {
    in_namespace(libc::CLONE_NEWNET)
}

pub fn uts_namespace() -> Tried {
    in_namespace(libc::CLONE_NEWUTS)
}

pub fn ipc_namespace() -> Tried {
    in_namespace(libc::CLONE_NEWIPC)
}

pub fn cgroup_namespace() -> Tried {
    in_namespace(libc::CLONE_NEWCGROUP)
}

pub fn time_namespace() -> Tried {
    child(|| {
        // SAFETY: plain system calls; only children are in the new namespace.
        unsafe {
            if libc::unshare(libc::CLONE_NEWTIME) < 0 {
                return -1;
            }
            libc::fork()
        }
    })
    .map(drop)
}

pub fn pid_namespace() -> Tried {
    child(|| {
        // SAFETY: plain system calls; only children are in the new namespace.
        unsafe {
            if libc::unshare(libc::CLONE_NEWPID) < 0 {
                return -1;
            }
            libc::fork()
        }
    })
    .map(drop)
}

pub fn sysv() -> Tried {
    // SAFETY: plain system calls.
    unsafe {
        let segment = call("shmget", libc::shmget(libc::IPC_PRIVATE, 8192, 0o600).into())?;
        libc::shmat(segment, std::ptr::null(), 0);
    }
    Ok(())
}

/// Another root than the container's.
pub fn chroot() -> Tried {
    // SAFETY: a string that ends with a null byte.
    child(|| unsafe { libc::chroot(c"/tmp".as_ptr()) }).map(drop)
}

/// Two threads that have not the same table of descriptors.
pub fn thread_with_own_files() -> Tried {
    std::thread::spawn(|| {
        // SAFETY: a plain system call.
        unsafe { libc::unshare(libc::CLONE_FILES) };
        loop {
            std::thread::park();
        }
    });
    std::thread::sleep(std::time::Duration::from_millis(50));
    Ok(())
}

/// A thread in other namespaces than its process.
pub fn thread_in_namespace() -> Tried {
    std::thread::spawn(|| {
        // SAFETY: a plain system call.
        unsafe { libc::unshare(libc::CLONE_NEWUTS) };
        loop {
            std::thread::park();
        }
    });
    std::thread::sleep(std::time::Duration::from_millis(50));
    Ok(())
}
