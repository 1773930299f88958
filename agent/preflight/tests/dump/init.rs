//! The first process of a container: it makes namespaces and a root as runc does, then uses one feature.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::table;

/// The names in `/dev` that runc makes, and those that a device plugin could.
const NODES: [(&str, u32, u32); 11] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
    ("fuse", 10, 229),
    ("kvm", 10, 232),
    ("tun", 10, 200),
    ("loop0", 7, 0),
    ("hwrng", 10, 183),
];

pub fn main(name: &str, dir: &Path) {
    let flags =
        libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWNET;
    // SAFETY: plain system calls; this process has one thread.
    let child = unsafe {
        assert_eq!(libc::unshare(flags), 0);
        libc::fork()
    };
    if child != 0 {
        // SAFETY: a plain system call with a null pointer for a status that nobody wants.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        return;
    }
    // SAFETY: plain system calls.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::setsid();
    }
    let program = std::env::current_exe().unwrap();
    root(dir);
    loopback();
    // Anew, so that what it maps is the container's.
    let error = std::process::Command::new(program).args(["feature", name]).exec();
    panic!("{error}");
}

/// The program in the container.
pub fn feature(name: &str) {
    let row = table::ROWS.iter().find(|row| row.name == name).unwrap();
    let said = match (row.app)() {
        Ok(()) => String::from("ready"),
        Err(why) => why,
    };
    fs::write("/vol/said.new", said).unwrap();
    fs::rename("/vol/said.new", "/vol/said").unwrap();
    loop {
        // SAFETY: a plain system call.
        unsafe { libc::pause() };
    }
}

fn root(dir: &Path) {
    let merged = dir.join("merged");
    let options = format!(
        "lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work",
        dir.display()
    );
    let propagation = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", propagation).unwrap();
    mount("overlay", &merged, "overlay", &options);
    for name in ["proc", "dev", "vol", "tmp"] {
        fs::create_dir_all(merged.join(name)).unwrap();
    }
    rustix::mount::mount_bind(dir.join("vol"), merged.join("vol")).unwrap();
    mount("proc", &merged.join("proc"), "proc", "");
    mount("tmpfs", &merged.join("dev"), "tmpfs", "mode=755");
    for (name, major, minor) in NODES {
        let path = CString::new(merged.join("dev").join(name).as_os_str().as_bytes()).unwrap();
        // SAFETY: a string that ends with a null byte.
        unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o666, libc::makedev(major, minor)) };
    }
    for (name, kind) in [("pts", "devpts"), ("mqueue", "mqueue"), ("shm", "tmpfs")] {
        let at = merged.join("dev").join(name);
        fs::create_dir(&at).unwrap();
        let options = if kind == "devpts" {
            "newinstance,ptmxmode=0666,mode=0620"
        } else {
            ""
        };
        mount(kind, &at, kind, options);
    }
    std::os::unix::fs::symlink("pts/ptmx", merged.join("dev/ptmx")).unwrap();
    std::env::set_current_dir(&merged).unwrap();
    rustix::process::pivot_root(".", ".").unwrap();
    rustix::mount::unmount(".", UnmountFlags::DETACH).unwrap();
    std::env::set_current_dir("/").unwrap();
    // SAFETY: strings that end with a null byte, and descriptors that stay.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for fd in 0..3 {
            libc::dup2(null, fd);
        }
        libc::close_range(3, u32::MAX, 0);
    }
}

fn mount(source: &str, at: &Path, kind: &str, options: &str) {
    let options = CString::new(options).unwrap();
    rustix::mount::mount(source, at, kind, MountFlags::empty(), options.as_c_str()).unwrap();
}

/// A new network namespace has it down.
fn loopback() {
    // SAFETY: the structure is plain data, and lives as long as the call.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = libc::c_char::from(b'l' as i8);
        request.ifr_name[1] = libc::c_char::from(b'o' as i8);
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
        assert_eq!(libc::ioctl(socket, libc::SIOCSIFFLAGS, &request), 0);
        libc::close(socket);
    }
}
