//! Files, devices and locks.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::IntoRawFd;

use super::{Tried, call};
use crate::criu::GHOST_LIMIT;

fn text(error: std::io::Error) -> String {
    error.to_string()
}

fn open(path: &CStr, flags: i32) -> Result<i32, String> {
    // SAFETY: a string that ends with a null byte.
    call("open", unsafe { libc::open(path.as_ptr(), flags, 0o600) }.into())
}

fn map(descriptor: i32) -> Tried {
    // SAFETY: a new mapping.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, 3, libc::MAP_PRIVATE, descriptor, 0) };
    if at == libc::MAP_FAILED {
        Err(text(std::io::Error::last_os_error()))
    } else {
        Ok(())
    }
}

pub fn devices_of_every_container() -> Tried {
    for path in [c"/dev/null", c"/dev/full", c"/dev/random", c"/dev/urandom"] {
        open(path, libc::O_RDONLY)?;
    }
    map(open(c"/dev/zero", libc::O_RDWR)?)
}

pub fn fuse() -> Tried {
    open(c"/dev/fuse", libc::O_RDWR).map(drop)
}

pub fn kvm() -> Tried {
    open(c"/dev/kvm", libc::O_RDWR).map(drop)
}

pub fn tun() -> Result<i32, String> {
    open(c"/dev/tun", libc::O_RDWR)
}

pub fn tun_idle() -> Tried {
    tun().map(drop)
}

/// With an interface of its own.
pub fn tun_attached() -> Tried {
    let tun = tun()?;
    // SAFETY: the structure is plain data, and lives as long as the call.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
        call(
            "TUNSETIFF",
            libc::ioctl(tun, libc::TUNSETIFF as _, &request).into(),
        )
        .map(drop)
    }
}

/// A device that the program opens for its state alone.
pub fn hwrng() -> Tried {
    open(c"/dev/hwrng", libc::O_RDONLY).map(drop)
}

pub fn kernel_log() -> Tried {
    // SAFETY: a string that ends with a null byte.
    unsafe { libc::mknod(c"/dev/kmsg".as_ptr(), libc::S_IFCHR | 0o600, libc::makedev(1, 11)) };
    open(c"/dev/kmsg", libc::O_RDONLY).map(drop)
}

pub fn console() -> Tried {
    // SAFETY: a string that ends with a null byte.
    unsafe { libc::mknod(c"/dev/tty1".as_ptr(), libc::S_IFCHR | 0o600, libc::makedev(4, 1)) };
    open(c"/dev/tty1", libc::O_RDWR | libc::O_NOCTTY).map(drop)
}

pub fn block_device() -> Tried {
    // SAFETY: a string that ends with a null byte.
    unsafe { libc::mknod(c"/dev/disk".as_ptr(), libc::S_IFBLK | 0o600, libc::makedev(7, 0)) };
    open(c"/dev/disk", libc::O_RDONLY).map(drop)
}

fn deleted(bytes: u64) -> Tried {
    let mut file = File::create("/tmp/deleted").map_err(text)?;
    file.write_all(&vec![1; usize::try_from(bytes).unwrap()])
        .map_err(text)?;
    keep(file);
    fs::remove_file("/tmp/deleted").map_err(text)
}

fn keep(file: File) {
    let _ = file.into_raw_fd();
}

pub fn deleted_small() -> Tried {
    deleted(GHOST_LIMIT)
}

pub fn deleted_big() -> Tried {
    deleted(GHOST_LIMIT + 1)
}

/// Big, but for a hole in it.
pub fn deleted_sparse() -> Tried {
    let file = File::create("/tmp/deleted").map_err(text)?;
    file.set_len(GHOST_LIMIT * 4).map_err(text)?;
    keep(file);
    fs::remove_file("/tmp/deleted").map_err(text)
}

/// Mapped alone, no descriptor.
pub fn deleted_mapped() -> Tried {
    fs::write(
        "/tmp/mapped",
        vec![1; usize::try_from(GHOST_LIMIT).unwrap() + 4096],
    )
    .map_err(text)?;
    let file = open(c"/tmp/mapped", libc::O_RDWR)?;
    map(file)?;
    // SAFETY: a plain system call.
    unsafe { libc::close(file) };
    fs::remove_file("/tmp/mapped").map_err(text)
}

/// One of its names was removed, another one stays.
pub fn other_name() -> Tried {
    fs::write("/tmp/one", "x").map_err(text)?;
    fs::hard_link("/tmp/one", "/tmp/other").map_err(text)?;
    open(c"/tmp/one", libc::O_RDONLY)?;
    fs::remove_file("/tmp/one").map_err(text)
}

/// Made without a name.
pub fn nameless() -> Tried {
    open(c"/tmp", libc::O_TMPFILE | libc::O_RDWR).map(drop)
}

pub fn deleted_directory() -> Tried {
    fs::create_dir("/tmp/gone").map_err(text)?;
    std::env::set_current_dir("/tmp/gone").map_err(text)?;
    fs::remove_dir("/tmp/gone").map_err(text)
}

pub fn path_only() -> Tried {
    open(c"/tmp", libc::O_PATH).map(drop)
}

pub fn lock() -> Tried {
    let file = open(c"/tmp/locked", libc::O_RDWR | libc::O_CREAT)?;
    // SAFETY: a plain system call.
    call("flock", unsafe { libc::flock(file, libc::LOCK_EX) }.into()).map(drop)
}

pub fn record_lock() -> Tried {
    let file = open(c"/vol/locked", libc::O_RDWR | libc::O_CREAT)?;
    // SAFETY: the structure is plain data.
    unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = libc::F_WRLCK as i16;
        lock.l_len = 10;
        call("fcntl", libc::fcntl(file, libc::F_SETLK, &raw const lock).into())?;
    }
    Ok(())
}

pub fn lease() -> Tried {
    fs::write("/tmp/leased", "x").map_err(text)?;
    let file = open(c"/tmp/leased", libc::O_RDONLY)?;
    // SAFETY: a plain system call.
    call(
        "fcntl",
        unsafe { libc::fcntl(file, libc::F_SETLEASE, libc::F_RDLCK) }.into(),
    )
    .map(drop)
}

/// POSIX message queues.
pub fn message_queue() -> Tried {
    // SAFETY: a string that ends with a null byte.
    let queue = unsafe {
        libc::mq_open(
            c"/queue".as_ptr(),
            libc::O_RDWR | libc::O_CREAT,
            0o600,
            std::ptr::null::<libc::mq_attr>(),
        )
    };
    call("mq_open", queue.into()).map(drop)
}

/// A message queue that exists, but that nobody has open.
pub fn message_queue_closed() -> Tried {
    message_queue()?;
    // SAFETY: plain system calls, on the only descriptor beyond the first three.
    unsafe { libc::close_range(3, u32::MAX, 0) };
    Ok(())
}

pub fn terminal() -> Tried {
    let (mut master, mut slave) = (0, 0);
    // SAFETY: null pointers stand for what is not wanted.
    unsafe {
        let null = std::ptr::null_mut();
        call(
            "openpty",
            libc::openpty(&raw mut master, &raw mut slave, null, null.cast(), null.cast()).into(),
        )?;
        call("TIOCSCTTY", libc::ioctl(slave, libc::TIOCSCTTY, 0).into())?;
    }
    Ok(())
}

/// The terminal of nobody here: its other end is held outside.
pub fn own_namespace_file() -> Tried {
    open(c"/proc/self/ns/net", libc::O_RDONLY)?;
    open(c"/proc/self/ns/mnt", libc::O_RDONLY).map(drop)
}

pub fn foreign_namespace_file() -> Tried {
    // SAFETY: plain system calls: a namespace that only the descriptor holds.
    unsafe {
        let own = open(c"/proc/self/ns/uts", libc::O_RDONLY)?;
        call("unshare", libc::unshare(libc::CLONE_NEWUTS).into())?;
        open(c"/proc/self/ns/uts", libc::O_RDONLY)?;
        call("setns", libc::setns(own, 0).into())?;
    }
    Ok(())
}

pub fn kernel_file() -> Tried {
    open(c"/proc/self/status", libc::O_RDONLY)?;
    open(c"/proc/sys/kernel/hostname", libc::O_RDONLY).map(drop)
}

pub fn detached_mount() -> Tried {
    fs::create_dir("/tmp/mounted").map_err(text)?;
    // SAFETY: strings that end with a null byte.
    unsafe {
        call(
            "mount",
            libc::mount(
                c"none".as_ptr(),
                c"/tmp/mounted".as_ptr(),
                c"tmpfs".as_ptr(),
                0,
                std::ptr::null(),
            )
            .into(),
        )?;
        open(c"/tmp/mounted/file", libc::O_RDWR | libc::O_CREAT)?;
        call(
            "umount",
            libc::umount2(c"/tmp/mounted".as_ptr(), libc::MNT_DETACH).into(),
        )?;
    }
    Ok(())
}
