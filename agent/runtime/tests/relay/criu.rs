//! CRIU as the relay sees it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use godwit_runtime::cgroup::Freezer;
use godwit_runtime::packet::{Packet, receive, send};
use godwit_runtime::{process, rpc};
use nix::sys::socket::{getsockopt, sockopt};

/// The whole pages of a task's own 64 KiB at that address.
pub fn memory(address: u64) -> (u64, u64) {
    (
        address.next_multiple_of(4096),
        (address + (64 << 10)) / 4096 * 4096,
    )
}

/// CRIU as runc sees it: reads one request, "restores" a task that counts as soon as it is let go, notifies, answers.
pub fn fake_criu(role: &str) {
    let socket = process::adopt(3).unwrap();
    let Some(packet) = receive(&socket).unwrap() else {
        std::process::exit(1)
    };
    let request = rpc::request(&packet.bytes).unwrap();
    if role == "version" {
        send(
            &socket,
            &Packet {
                bytes: vec![0x08, 10, 0x10, 1],
                descriptors: Vec::new(),
            },
        )
        .unwrap();
        return;
    }
    // CRIU opens the directories through the process that made its socket.
    let peer = getsockopt(&socket, sockopt::PeerCredentials).unwrap().pid();
    let images = fs::read_link(format!("/proc/{peer}/fd/{}", request.descriptors[0])).unwrap();
    assert_eq!(images, Path::new(&std::env::var("FAKE_IMAGES").unwrap()));
    let lazy = std::env::var("GODWIT_LAZY").is_ok_and(|value| value == "1");
    assert_eq!(request.lazy_pages, lazy);
    if let Some(task) = request.pid {
        return fake_dump(&socket, role, task);
    }
    let (read, write) = nix::unistd::pipe().unwrap();
    let Some(task) = process::fork().unwrap() else {
        drop(socket);
        let _kept_open = write;
        let mut byte = [0];
        if role == "stuck" {
            wait_for_a_page();
        }
        // Only a word lets it go; CRIU's end does not, because the task holds both ends of the pipe.
        let _ = nix::unistd::read(&read, &mut byte);
        count(Path::new(&std::env::var("FAKE_STEPS").unwrap()));
    };
    let cgroup = PathBuf::from(std::env::var("FAKE_CGROUP").unwrap());
    fs::write(cgroup.join("cgroup.procs"), task.to_string()).unwrap();
    notify(&socket, "post-restore", Some(task));
    match role {
        "stuck" => std::thread::sleep(Duration::from_mins(1)),
        "dying" => {
            // It leaves its task behind.
            std::process::exit(3);
        }
        "careless" => {}
        _ => notify(&socket, "pre-resume", None),
    }
    if role != "careless" {
        nix::unistd::write(&write, b"x").unwrap();
    }
    send(
        &socket,
        &Packet {
            bytes: vec![0x08, 2, 0x10, 1],
            descriptors: Vec::new(),
        },
    )
    .unwrap();
    if role == "careless" {
        std::thread::sleep(Duration::from_mins(1));
    }
}

fn notify(socket: &OwnedFd, stage: &str, pid: Option<i32>) {
    let mut inner = vec![0x0a, u8::try_from(stage.len()).unwrap()];
    inner.extend_from_slice(stage.as_bytes());
    if let Some(pid) = pid {
        inner.push(0x10);
        varint(pid, &mut inner);
    }
    let mut bytes = vec![0x08, 6, 0x10, 1, 0x2a, u8::try_from(inner.len()).unwrap()];
    bytes.extend_from_slice(&inner);
    send(
        socket,
        &Packet {
            bytes,
            descriptors: Vec::new(),
        },
    )
    .unwrap();
    // Without an answer CRIU would give up and kill its tasks.
    if receive(socket).unwrap().is_none() {
        std::process::exit(4);
    }
}

pub fn varint(number: i32, bytes: &mut Vec<u8>) {
    let mut rest = u32::try_from(number).unwrap();
    while rest >= 0x80 {
        bytes.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

/// Makes a step each millisecond, for ever.
pub fn count(path: &Path) -> ! {
    let mut steps = fs::File::options().append(true).create(true).open(path).unwrap();
    loop {
        steps.write_all(b".").unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// CRIU at a lazy dump: it looks at the task's pagemap twice, thaws the task and holds it by ptrace, and ends as a page server.
fn fake_dump(socket: &OwnedFd, role: &str, task: i32) {
    let pagemap = format!("/proc/{task}/pagemap");
    let (start, end) = memory(std::env::var("FAKE_MEMORY").unwrap().parse().unwrap());
    let entries = || {
        let file = fs::File::open(&pagemap).unwrap();
        let mut entries = vec![0; usize::try_from((end - start) / 512).unwrap()];
        file.read_exact_at(&mut entries, start / 512).unwrap();
        entries
    };
    let smaps = fs::read_to_string(format!("/proc/{task}/smaps")).unwrap();
    assert!(smaps.contains("VmFlags:"));
    assert_eq!(smaps.contains("Rss:"), role != "lazy-dump-noted");
    let freezer = Freezer::of(task).unwrap();
    // SAFETY: ptrace with requests that take numbers only, of another process; waitpid with no status wanted.
    unsafe {
        assert_eq!(libc::ptrace(libc::PTRACE_SEIZE, task, 0, 0), 0);
        libc::ptrace(libc::PTRACE_INTERRUPT, task, 0, 0);
        freezer.thaw().unwrap();
        libc::waitpid(task, std::ptr::null_mut(), libc::__WALL);
    }
    // CRIU's first look is for guard pages only.
    drop(entries());
    let limit = Instant::now() + Duration::from_secs(10);
    while entries().iter().any(|byte| *byte != 0) {
        assert!(Instant::now() < limit, "lazy memory is not hidden");
        std::thread::sleep(Duration::from_millis(1));
    }
    notify(socket, "post-dump", None);
    if role == "page-server" {
        std::thread::sleep(Duration::from_mins(1));
    }
    notify(socket, "status-ready", None);
    let config = fs::read_to_string(std::env::var("CRIU_CONFIG_FILE").unwrap()).unwrap();
    let number = config
        .lines()
        .find_map(|line| line.strip_prefix("ps-socket "))
        .unwrap();
    let server = process::adopt(number.parse().unwrap()).unwrap();
    let mut server = std::os::unix::net::UnixStream::from(server);
    let mut command = [0; 32];
    server.read_exact(&mut command).unwrap();
    assert_eq!(command[..4], 0x1023_u32.to_ne_bytes());
    server.write_all(&[0; 4]).unwrap();
    freezer.freeze(Duration::from_secs(1)).unwrap();
    // SAFETY: as above.
    unsafe { libc::ptrace(libc::PTRACE_DETACH, task, 0, 0) };
    let bytes = vec![0x08, 1, 0x10, 1];
    let descriptors = Vec::new();
    // runc may be gone.
    let _ = send(socket, &Packet { bytes, descriptors });
}

/// Touches a page that nobody will ever provide.
fn wait_for_a_page() -> ! {
    const MISSING: u64 = 1;
    let length = 4096;
    // SAFETY: a new mapping, wherever the kernel wants it; the ioctls get arrays of the sizes that they are for (`linux/userfaultfd.h`); the
    // page is read where it was mapped.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let address = libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0);
        let faults = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC);
        assert!(faults >= 0, "{}", std::io::Error::last_os_error());
        let faults = i32::try_from(faults).unwrap();
        let mut api = [0xaa_u64, 0, 0];
        assert_eq!(libc::ioctl(faults, 0xc018_aa3f, api.as_mut_ptr()), 0);
        let mut register = [address as u64, length as u64, MISSING, 0];
        assert_eq!(libc::ioctl(faults, 0xc020_aa00, register.as_mut_ptr()), 0);
        std::ptr::read_volatile(address.cast::<u8>());
    }
    std::process::exit(9);
}
