//! Sockets.

use std::net::{TcpListener, TcpStream};
use std::os::fd::IntoRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use super::{Tried, call};

fn socket(family: i32, kind: i32, protocol: i32) -> Result<i32, String> {
    // SAFETY: a plain system call.
    call("socket", unsafe { libc::socket(family, kind, protocol) }.into())
}

fn keep(socket: impl IntoRawFd) {
    let _ = socket.into_raw_fd();
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

/// A listener, and a connection to it with both ends in the container.
pub fn tcp() -> Tried {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(text)?;
    let client = TcpStream::connect(listener.local_addr().map_err(text)?).map_err(text)?;
    keep(listener.accept().map_err(text)?.0);
    keep(client);
    keep(listener);
    Ok(())
}

pub fn udp() -> Tried {
    socket(libc::AF_INET6, libc::SOCK_DGRAM, 0).map(drop)
}

/// In groups on the loopback.
pub fn multicast() -> Tried {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").map_err(text)?;
    let loopback = std::net::Ipv4Addr::LOCALHOST;
    socket
        .join_multicast_v4(&std::net::Ipv4Addr::new(239, 1, 2, 3), &loopback)
        .map_err(text)?;
    keep(socket);
    Ok(())
}

pub fn ping() -> Tried {
    std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 1000").map_err(text)?;
    socket(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP).map(drop)
}

pub fn raw() -> Tried {
    socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP).map(drop)
}

pub fn packet() -> Tried {
    socket(libc::AF_PACKET, libc::SOCK_RAW, 0x0300).map(drop)
}

pub fn mptcp() -> Tried {
    socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP).map(drop)
}

/// As Go makes its listeners.
pub fn mptcp_listening() -> Tried {
    let listener = socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP)?;
    // SAFETY: a plain system call.
    call("listen", unsafe { libc::listen(listener, 8) }.into()).map(drop)
}

pub fn vsock() -> Tried {
    socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0).map(drop)
}

pub fn xdp() -> Tried {
    socket(libc::AF_XDP, libc::SOCK_RAW, 0).map(drop)
}

pub fn netlink() -> Tried {
    socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE).map(drop)
}

/// With an answer that nobody has read yet.
pub fn netlink_pending() -> Tried {
    let netlink = socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
    // A header alone: 20 bytes, RTM_GETLINK, REQUEST | DUMP; one byte says the family.
    let request = [20_u32, 0x0301_0012, 1, 0, 0];
    // SAFETY: the buffer is as long as is said.
    call(
        "send",
        unsafe { libc::send(netlink, request.as_ptr().cast(), 20, 0) } as i64,
    )
    .map(drop)
}

/// The kernel has it, the process has not taken it.
pub fn unaccepted() -> Tried {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(text)?;
    keep(TcpStream::connect(listener.local_addr().map_err(text)?).map_err(text)?);
    keep(listener);
    Ok(())
}

/// More connections than a listener wants: the last one waits for an answer.
pub fn half_open() -> Tried {
    let listener = socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
    // SAFETY: plain system calls; the structure is plain data.
    unsafe {
        call("listen", libc::listen(listener, 0).into())?;
        let mut address: libc::sockaddr_in = std::mem::zeroed();
        let mut length = size_of::<libc::sockaddr_in>() as u32;
        call(
            "getsockname",
            libc::getsockname(listener, (&raw mut address).cast(), &raw mut length).into(),
        )?;
        for _ in 0..3 {
            let client = socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)?;
            libc::connect(client, (&raw const address).cast(), length);
        }
    }
    Ok(())
}

/// To an address that never answers.
pub fn connecting() -> Tried {
    let tun = super::files::tun()?;
    // SAFETY: the structures are plain data, and live as long as the calls.
    unsafe {
        let helper = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
        call(
            "TUNSETIFF",
            libc::ioctl(tun, libc::TUNSETIFF as _, &raw mut request).into(),
        )?;
        let mut address: libc::sockaddr_in = std::mem::zeroed();
        address.sin_family = libc::AF_INET as u16;
        address.sin_addr.s_addr = u32::from_ne_bytes([10, 9, 9, 1]);
        request.ifr_ifru.ifru_addr = std::mem::transmute::<libc::sockaddr_in, libc::sockaddr>(address);
        call(
            "SIOCSIFADDR",
            libc::ioctl(helper, libc::SIOCSIFADDR, &request).into(),
        )?;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
        call(
            "SIOCSIFFLAGS",
            libc::ioctl(helper, libc::SIOCSIFFLAGS, &request).into(),
        )?;
        address.sin_addr.s_addr = u32::from_ne_bytes([10, 9, 9, 2]);
        address.sin_port = 80;
        let client = socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)?;
        libc::connect(
            client,
            (&raw const address).cast(),
            size_of::<libc::sockaddr_in>() as u32,
        );
        libc::close(helper);
    }
    Ok(())
}

/// Its other end is closed.
pub fn unix_peer_closed() -> Tried {
    keep(UnixStream::pair().map_err(text)?.0);
    Ok(())
}

/// The same by way of a listener, with bytes that nobody has read.
pub fn unix_peer_closed_unread() -> Tried {
    let (one, mut other) = UnixStream::pair().map_err(text)?;
    std::io::Write::write_all(&mut other, b"bye").map_err(text)?;
    keep(one);
    Ok(())
}

/// One end is in a child.
pub fn unix_to_child() -> Tried {
    let (one, other) = UnixStream::pair().map_err(text)?;
    super::processes::idle_child()?;
    keep(one);
    drop(other);
    Ok(())
}

pub fn unix_inside() -> Tried {
    let listener = UnixListener::bind("/tmp/inside").map_err(text)?;
    keep(UnixStream::connect("/tmp/inside").map_err(text)?);
    keep(listener.accept().map_err(text)?.0);
    keep(listener);
    let (one, other) = UnixDatagram::pair().map_err(text)?;
    one.send(b"hello").map_err(text)?;
    keep(one);
    keep(other);
    Ok(())
}

pub fn unix_unaccepted() -> Tried {
    let listener = UnixListener::bind("/tmp/inside").map_err(text)?;
    keep(UnixStream::connect("/tmp/inside").map_err(text)?);
    keep(listener);
    Ok(())
}

/// To a listener outside, over a volume.
pub fn unix_outside() -> Tried {
    keep(UnixStream::connect("/vol/stream").map_err(text)?);
    Ok(())
}

pub fn unix_datagram_outside() -> Tried {
    let socket = UnixDatagram::unbound().map_err(text)?;
    socket.connect("/vol/datagram").map_err(text)?;
    keep(socket);
    Ok(())
}

/// A listener whose name was removed.
pub fn unix_unlinked() -> Tried {
    keep(UnixListener::bind("/tmp/gone").map_err(text)?);
    std::fs::remove_file("/tmp/gone").map_err(text)
}

/// A descriptor on its way through a socket.
pub fn descriptor_on_its_way() -> Tried {
    send_descriptor(0)
}

fn send_descriptor(descriptor: i32) -> Tried {
    let (one, other) = UnixStream::pair().map_err(text)?;
    let (one, other) = (one.into_raw_fd(), other.into_raw_fd());
    let _ = other;
    let mut control = [0_u64; 3];
    let mut byte = [1_u8];
    let mut part = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    // SAFETY: the structures are plain data, the buffers as long as is said.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as usize;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as usize;
        libc::CMSG_DATA(header).cast::<i32>().write_unaligned(descriptor);
        call("sendmsg", libc::sendmsg(one, &raw const message, 0) as i64).map(drop)
    }
}
