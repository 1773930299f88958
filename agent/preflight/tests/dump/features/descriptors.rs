//! Descriptors of what the kernel has no file for.

use super::{Tried, call};

/// Calls by number; the arguments are plain numbers or pointers to what lives as long as the call.
fn syscall(what: &str, number: i64, a: [usize; 5]) -> Result<i32, String> {
    // SAFETY: see above; none of these calls keeps a pointer.
    call(what, unsafe {
        libc::syscall(number, a[0], a[1], a[2], a[3], a[4])
    })
}

fn pointer<T>(of: &T) -> usize {
    std::ptr::from_ref(of) as usize
}

pub fn ordinary() -> Tried {
    // SAFETY: plain system calls.
    unsafe {
        call("eventfd", libc::eventfd(3, 0).into())?;
        let epoll = call("epoll", libc::epoll_create1(0).into())?;
        let timer = call("timerfd", libc::timerfd_create(libc::CLOCK_MONOTONIC, 0).into())?;
        let mut event = libc::epoll_event { events: 1, u64: 7 };
        call(
            "epoll_ctl",
            libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, timer, &raw mut event).into(),
        )?;
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut set, libc::SIGUSR1);
        call("signalfd", libc::signalfd(-1, &raw const set, 0).into())?;
        let mut ends = [0; 2];
        call("pipe", libc::pipe(ends.as_mut_ptr()).into())?;
        libc::write(ends[1], c"hello".as_ptr().cast(), 5);
    }
    Ok(())
}

/// One that gives one at a time.
pub fn event_semaphore() -> Tried {
    // SAFETY: a plain system call.
    call("eventfd", unsafe { libc::eventfd(3, libc::EFD_SEMAPHORE) }.into()).map(drop)
}

pub fn io_uring() -> Tried {
    let parameters = [0_u64; 15];
    syscall(
        "io_uring_setup",
        libc::SYS_io_uring_setup,
        [4, pointer(&parameters), 0, 0, 0],
    )
    .map(drop)
}

/// Its rings stay mapped, its descriptor is closed.
pub fn io_uring_mapped() -> Tried {
    let parameters = [0_u64; 15];
    let ring = syscall(
        "io_uring_setup",
        libc::SYS_io_uring_setup,
        [4, pointer(&parameters), 0, 0, 0],
    )?;
    // SAFETY: a new mapping of a ring.
    unsafe {
        let at = libc::mmap(std::ptr::null_mut(), 4096, 3, libc::MAP_SHARED, ring, 0);
        if at == libc::MAP_FAILED {
            return Err("the ring cannot be mapped".into());
        }
        libc::close(ring);
    }
    Ok(())
}

pub fn perf_event() -> Tried {
    // type software (1), size 64, config task clock (1)
    let attributes = [1_u64 | (64 << 32), 1, 0, 0, 0, 0, 0, 0];
    let all = usize::MAX;
    syscall(
        "perf_event_open",
        libc::SYS_perf_event_open,
        [pointer(&attributes), 0, all, all, 0],
    )
    .map(drop)
}

/// A breakpoint in the program, as tracers of a node set it.
pub fn uprobe() -> Tried {
    let kind = std::fs::read_to_string("/vol/uprobe-type").map_err(|error| error.to_string())?;
    let kind: u64 = kind.trim().parse().map_err(|_| "no uprobes")?;
    let path = std::ffi::CString::new("/proc/self/exe").unwrap_or_default();
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|error| error.to_string())?;
    let line = maps
        .lines()
        .find(|line| line.contains(" r-xp "))
        .ok_or("no code")?;
    let mut fields = line.split_whitespace();
    let start = fields
        .next()
        .and_then(|range| u64::from_str_radix(range.split('-').next()?, 16).ok());
    let offset = fields
        .nth(1)
        .and_then(|field| u64::from_str_radix(field, 16).ok());
    let function = nop as extern "C" fn() as usize as u64;
    let at = function - start.ok_or("no start")? + offset.ok_or("no offset")?;
    let mut attributes = [kind | (128 << 32), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // Of the return, which takes a page of the process for good.
    attributes[1] = 1;
    attributes[7] = path.as_ptr() as u64;
    attributes[8] = at;
    let all = usize::MAX;
    let probe = syscall(
        "perf_event_open",
        libc::SYS_perf_event_open,
        [pointer(&attributes), 0, all, all, 0],
    )?;
    nop();
    // SAFETY: a plain system call.
    unsafe { libc::close(probe) };
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    if maps.contains("[uprobes]") {
        Ok(())
    } else {
        Err("the probe was not hit".into())
    }
}

#[inline(never)]
extern "C" fn nop() {
    std::hint::black_box(());
}

pub fn bpf_map() -> Tried {
    // BPF_MAP_TYPE_ARRAY, key 4, value 4, 1 entry
    let attributes = [2_u32, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    syscall("bpf map", libc::SYS_bpf, [0, pointer(&attributes), 72, 0, 0]).map(drop)
}

/// A kind of map that CRIU does not know.
pub fn bpf_ring() -> Tried {
    // BPF_MAP_TYPE_RINGBUF
    let attributes = [27_u32, 0, 0, 4096, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    syscall("bpf map", libc::SYS_bpf, [0, pointer(&attributes), 72, 0, 0]).map(drop)
}

pub fn bpf_program() -> Tried {
    // r0 = 0; exit
    let program = [0x0000_0000_0000_00b7_u64, 0x0000_0000_0000_0095];
    let license = c"GPL";
    // BPF_PROG_TYPE_SOCKET_FILTER with two instructions.
    let attributes = [
        1_u64 | (2 << 32),
        pointer(&program) as u64,
        license.as_ptr() as u64,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    syscall("bpf program", libc::SYS_bpf, [5, pointer(&attributes), 72, 0, 0]).map(drop)
}

pub fn userfaultfd() -> Tried {
    syscall("userfaultfd", libc::SYS_userfaultfd, [1, 0, 0, 0, 0]).map(drop)
}

/// On a directory of the given file system.
fn fanotify(path: &std::ffi::CStr) -> Tried {
    let group = syscall("fanotify_init", libc::SYS_fanotify_init, [0, 0, 0, 0, 0])?;
    let cwd = libc::AT_FDCWD as usize;
    syscall(
        "fanotify_mark",
        libc::SYS_fanotify_mark,
        [group as usize, 1, 2, cwd, path.as_ptr() as usize],
    )
    .map(drop)
}

pub fn fanotify_overlay() -> Tried {
    fanotify(c"/tmp")
}

pub fn fanotify_tmpfs() -> Tried {
    fanotify(c"/dev/shm")
}

fn inotify(path: &std::ffi::CStr) -> Tried {
    // SAFETY: plain system calls with strings that end with a null byte.
    unsafe {
        let group = call("inotify_init", libc::inotify_init().into())?;
        call(
            "inotify_add_watch",
            libc::inotify_add_watch(group, path.as_ptr(), 2).into(),
        )?;
    }
    Ok(())
}

pub fn inotify_idle() -> Tried {
    // SAFETY: a plain system call.
    call("inotify_init", unsafe { libc::inotify_init() }.into()).map(drop)
}

pub fn inotify_overlay() -> Tried {
    inotify(c"/tmp")
}

pub fn inotify_tmpfs() -> Tried {
    inotify(c"/dev/shm")
}

pub fn inotify_volume() -> Tried {
    inotify(c"/vol")
}

pub fn inotify_proc() -> Tried {
    inotify(c"/proc/sys/kernel")
}

pub fn pidfd() -> Tried {
    let child = super::processes::idle_child()?;
    syscall("pidfd_open", libc::SYS_pidfd_open, [child as usize, 0, 0, 0, 0]).map(drop)
}

/// Of a process that is gone.
pub fn pidfd_gone() -> Tried {
    let child = super::processes::idle_child()?;
    syscall("pidfd_open", libc::SYS_pidfd_open, [child as usize, 0, 0, 0, 0])?;
    // SAFETY: plain system calls.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
    Ok(())
}

pub fn secret_memory() -> Tried {
    let secret = syscall("memfd_secret", libc::SYS_memfd_secret, [0; 5])?;
    // SAFETY: plain system calls.
    unsafe {
        libc::ftruncate(secret, 4096);
        libc::mmap(std::ptr::null_mut(), 4096, 3, libc::MAP_SHARED, secret, 0);
    }
    Ok(())
}

/// Mapped, and the descriptor closed.
pub fn secret_memory_mapped() -> Tried {
    let secret = syscall("memfd_secret", libc::SYS_memfd_secret, [0; 5])?;
    // SAFETY: plain system calls.
    unsafe {
        libc::ftruncate(secret, 4096);
        libc::mmap(std::ptr::null_mut(), 4096, 3, libc::MAP_SHARED, secret, 0);
        libc::close(secret);
    }
    Ok(())
}

pub fn memfd() -> Tried {
    // SAFETY: plain system calls.
    unsafe {
        let file = call("memfd", libc::memfd_create(c"plain".as_ptr(), 0).into())?;
        libc::ftruncate(file, 8192);
        libc::mmap(std::ptr::null_mut(), 8192, 3, libc::MAP_SHARED, file, 0);
    }
    Ok(())
}

pub fn landlock() -> Tried {
    let attributes = [1_u64];
    syscall(
        "landlock",
        libc::SYS_landlock_create_ruleset,
        [pointer(&attributes), 8, 0, 0, 0],
    )
    .map(drop)
}

pub fn mount_context() -> Tried {
    syscall(
        "fsopen",
        libc::SYS_fsopen,
        [c"tmpfs".as_ptr() as usize, 0, 0, 0, 0],
    )
    .map(drop)
}

/// A timer that wakes a sleeping machine.
pub fn alarm_timerfd() -> Tried {
    // SAFETY: plain system calls; the structure is plain data.
    unsafe {
        let timer = call(
            "timerfd",
            libc::timerfd_create(libc::CLOCK_BOOTTIME_ALARM, 0).into(),
        )?;
        let mut value: libc::itimerspec = std::mem::zeroed();
        value.it_value.tv_sec = 1000;
        call(
            "timerfd_settime",
            libc::timerfd_settime(timer, 0, &raw const value, std::ptr::null_mut()).into(),
        )?;
    }
    Ok(())
}

fn posix_timer(clock: i32) -> Tried {
    let mut timer = 0_i32;
    let mut value = [0_i64; 4];
    value[2] = 1000;
    syscall(
        "timer_create",
        libc::SYS_timer_create,
        [clock as usize, 0, &raw mut timer as usize, 0, 0],
    )?;
    syscall(
        "timer_settime",
        libc::SYS_timer_settime,
        [timer as usize, 0, pointer(&value), 0, 0],
    )
    .map(drop)
}

pub fn plain_timer() -> Tried {
    posix_timer(libc::CLOCK_MONOTONIC)
}

/// A ring for asynchronous input and output, with nothing under way.
pub fn aio() -> Tried {
    let mut context = 0_u64;
    syscall(
        "io_setup",
        libc::SYS_io_setup,
        [16, &raw mut context as usize, 0, 0, 0],
    )
    .map(drop)
}

/// The same with a poll under way that never ends.
pub fn aio_busy() -> Tried {
    let mut context = 0_u64;
    syscall(
        "io_setup",
        libc::SYS_io_setup,
        [16, &raw mut context as usize, 0, 0, 0],
    )?;
    // SAFETY: a plain system call.
    let event = call("eventfd", unsafe { libc::eventfd(0, 0) }.into())?;
    // struct iocb: opcode IOCB_CMD_POLL (5) at byte 16, descriptor at byte 20, events at byte 24
    let request = [
        0_u64,
        0,
        5 | (u64::from(event.cast_unsigned()) << 32),
        1,
        0,
        0,
        0,
        0,
    ];
    let requests = [pointer(&request)];
    syscall(
        "io_submit",
        libc::SYS_io_submit,
        [context as usize, 1, pointer(&requests), 0, 0],
    )
    .map(drop)
}

/// A filter that asks a descriptor of this very process.
pub fn seccomp_notify() -> Tried {
    #[repr(C)]
    struct Program {
        length: u16,
        filter: *const u64,
    }
    // BPF_RET | BPF_K with SECCOMP_RET_ALLOW
    let filter = [0x7fff_0000_0000_0006_u64];
    let program = Program {
        length: 1,
        filter: filter.as_ptr(),
    };
    // SAFETY: a plain system call.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SECCOMP_SET_MODE_FILTER with SECCOMP_FILTER_FLAG_NEW_LISTENER
    syscall("seccomp", libc::SYS_seccomp, [1, 8, pointer(&program), 0, 0]).map(drop)
}
