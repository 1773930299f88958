//! Moves a live TCP socket between namespaces by `TCP_REPAIR`, as CRIU does.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::Error;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};

use godwit_network::Netns;

const TCP_REPAIR: i32 = 19;
const TCP_REPAIR_QUEUE: i32 = 20;
const TCP_QUEUE_SEQ: i32 = 21;
const TCP_REPAIR_OPTIONS: i32 = 22;
const TCP_TIMESTAMP: i32 = 24;
const TCP_REPAIR_WINDOW: i32 = 29;
const RECEIVE: u32 = 1;
const SEND: u32 = 2;

/// What a socket is made of.
pub struct Frozen {
    local: SocketAddr,
    peer: SocketAddr,
    info: [u8; 104],
    mss: u32,
    timestamp: u32,
    window: [u32; 5],
    receive: (u32, Vec<u8>),
    send: (u32, Vec<u8>),
}

fn set<T>(socket: &TcpStream, option: i32, value: &T) {
    // SAFETY: pointer and length belong to `value`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as u32,
        )
    };
    assert_eq!(result, 0, "option {option}: {}", Error::last_os_error());
}

fn get<T>(socket: &TcpStream, option: i32, mut value: T) -> T {
    let mut length = size_of::<T>() as u32;
    // SAFETY: pointer and length belong to `value`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    assert_eq!(result, 0, "option {option}: {}", Error::last_os_error());
    value
}

/// Retransmitted segments of a connection so far.
pub fn retransmissions(socket: &TcpStream) -> u32 {
    let info = get(socket, libc::TCP_INFO, [0_u8; 104]);
    u32::from_ne_bytes(info[100..104].try_into().unwrap())
}

/// Reads the socket's state and leaves it as it is, usable, like `runc checkpoint --leave-running`.
pub fn freeze(socket: &TcpStream) -> Frozen {
    let (local, peer) = (socket.local_addr().unwrap(), socket.peer_addr().unwrap());
    set(socket, TCP_REPAIR, &1_i32);
    let queue = |which: u32, request: libc::c_ulong| {
        set(socket, TCP_REPAIR_QUEUE, &which);
        let sequence = get(socket, TCP_QUEUE_SEQ, 0_u32);
        let mut length = 0_i32;
        // SAFETY: the ioctl writes one int.
        let asked = unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw mut length) };
        assert_eq!(asked, 0);
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        if !bytes.is_empty() {
            // SAFETY: the buffer has that length.
            let got = unsafe {
                libc::recv(
                    socket.as_raw_fd(),
                    bytes.as_mut_ptr().cast(),
                    bytes.len(),
                    libc::MSG_PEEK | libc::MSG_DONTWAIT,
                )
            };
            assert_eq!(got, length as isize, "{}", Error::last_os_error());
        }
        (sequence, bytes)
    };
    let receive = queue(RECEIVE, libc::FIONREAD);
    let send = queue(SEND, libc::TIOCOUTQ);
    let frozen = Frozen {
        local,
        peer,
        info: get(socket, libc::TCP_INFO, [0; 104]),
        mss: get(socket, libc::TCP_MAXSEG, 0),
        timestamp: get(socket, TCP_TIMESTAMP, 0),
        window: get(socket, TCP_REPAIR_WINDOW, [0; 5]),
        receive,
        send,
    };
    set(socket, TCP_REPAIR_QUEUE, &0_u32);
    set(socket, TCP_REPAIR, &0_i32);
    frozen
}

fn address(of: SocketAddr) -> libc::sockaddr_in {
    let SocketAddr::V4(of) = of else {
        panic!("IPv4 only")
    };
    // SAFETY: all-zero is valid.
    let mut raw: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    raw.sin_family = libc::AF_INET as u16;
    raw.sin_port = of.port().to_be();
    raw.sin_addr.s_addr = u32::from(*of.ip()).to_be();
    raw
}

/// Makes the socket again in another namespace.
pub fn restore(netns: &Netns, frozen: &Frozen) -> TcpStream {
    let socket = netns
        .visit(|| {
            // SAFETY: no pointers; the descriptor is new.
            Ok(unsafe {
                TcpStream::from_raw_fd(libc::socket(
                    libc::AF_INET,
                    libc::SOCK_STREAM | libc::SOCK_CLOEXEC,
                    0,
                ))
            })
        })
        .unwrap();
    set(&socket, TCP_REPAIR, &1_i32);
    let one = 1_i32;
    let length = size_of::<libc::sockaddr_in>() as u32;
    let (local, peer) = (address(frozen.local), address(frozen.peer));
    let fd = socket.as_raw_fd();
    // SAFETY: all pointers belong to locals of the lengths given.
    unsafe {
        for ((sequence, bytes), which) in [(&frozen.receive, RECEIVE), (&frozen.send, SEND)] {
            set(&socket, TCP_REPAIR_QUEUE, &which);
            set(&socket, TCP_QUEUE_SEQ, &sequence.wrapping_sub(bytes.len() as u32));
        }
        assert_eq!(
            libc::bind(fd, (&raw const local).cast(), length),
            0,
            "bind: {}",
            Error::last_os_error()
        );
        assert_eq!(
            libc::connect(fd, (&raw const peer).cast(), length),
            0,
            "connect: {}",
            Error::last_os_error()
        );
    }
    // Pairs of (option kind, value): MSS, SACK, window scale, timestamps.
    let scale = u32::from(frozen.info[6] & 15) | u32::from(frozen.info[6] >> 4) << 16;
    set(
        &socket,
        TCP_REPAIR_OPTIONS,
        &[[2_u32, frozen.mss], [4, 0], [3, scale], [8, 0]],
    );
    set(&socket, TCP_TIMESTAMP, &frozen.timestamp);
    for ((_, bytes), which) in [(&frozen.receive, RECEIVE), (&frozen.send, SEND)] {
        set(&socket, TCP_REPAIR_QUEUE, &which);
        // SAFETY: the buffer has that length.
        let sent = unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), 0) };
        assert_eq!(sent, bytes.len() as isize, "{}", Error::last_os_error());
    }
    set(&socket, TCP_REPAIR_QUEUE, &0_u32);
    set(&socket, TCP_REPAIR_WINDOW, &frozen.window);
    set(&socket, TCP_REPAIR, &0_i32);
    // Leaving repair mode takes the permission away that other sockets may have this port.
    // SAFETY: pointer and length belong to `one`.
    let shared = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_REUSEADDR,
            (&raw const one).cast(),
            4,
        )
    };
    assert_eq!(shared, 0);
    socket
}

/// The address that the restored sockets are bound to.
pub fn bound_to(frozen: &Frozen) -> Ipv4Addr {
    let SocketAddr::V4(local) = frozen.local else {
        panic!("IPv4 only")
    };
    *local.ip()
}
