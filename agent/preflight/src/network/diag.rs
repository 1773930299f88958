//! Questions to the kernel's `sock_diag` (`sock_diag(7)`).

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The kernel answers at once.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most datagrams of an answer: some 100 sockets each.
const MOST: usize = 10_000;
/// A datagram is one page to 32 KiB.
const BUFFER: usize = 64 << 10;
/// Types of netlink messages that end an answer.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Of the header of a netlink message.
const HEADER: usize = 16;

/// Asks in the network namespace `namespace` (a link in procfs), on a thread of its own; calls `each` with the payload of every message of the answer.
pub(super) fn ask(namespace: &Path, question: &[u8], mut each: impl FnMut(&[u8]) + Send) -> io::Result<()> {
    let namespace = File::open(namespace)?;
    std::thread::scope(|scope| {
        let asked = scope.spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            let kind = SocketType::RAW;
            let socket = rustix::net::socket_with(
                AddressFamily::NETLINK,
                kind,
                SocketFlags::CLOEXEC,
                Some(netlink::SOCK_DIAG),
            )?;
            rustix::net::sockopt::set_socket_timeout(
                &socket,
                rustix::net::sockopt::Timeout::Recv,
                Some(PATIENCE),
            )?;
            rustix::net::send(&socket, question, SendFlags::empty())?;
            let mut buffer = vec![0; BUFFER];
            for _ in 0..MOST {
                let (length, _) = rustix::net::recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
                if length == 0 || !messages(&buffer[..length.min(BUFFER)], &mut each) {
                    break;
                }
            }
            Ok(())
        });
        asked
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the asking thread failed")))
    })
}

/// Every message of a datagram; false: the answer is at its end.
fn messages(mut rest: &[u8], each: &mut impl FnMut(&[u8])) -> bool {
    while let Some((length, kind)) = header(rest) {
        let (Some(payload), false) = (rest.get(HEADER..length), matches!(kind, ERROR | DONE)) else {
            return false;
        };
        each(payload);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    true
}

fn header(bytes: &[u8]) -> Option<(usize, u16)> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?);
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    Some((usize::try_from(length).ok()?, kind))
}

/// The attributes at the end of a message: kind and value of each.
pub(super) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?);
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_ends_it() {
        let mut count = 0;
        assert!(messages(&[], &mut |_| count += 1));
        assert!(!messages(&[255, 0, 0, 0, 20, 0, 0, 0], &mut |_| count += 1));
        assert!(
            !messages(&[0; 16], &mut |_| count += 1),
            "a length of zero does not go round for ever"
        );
        assert_eq!(count, 0);
        assert_eq!(attributes(&[0; 8]).count(), 0);
        assert_eq!(attributes(&[9, 0, 1, 0, 7]).count(), 0);
        assert_eq!(
            attributes(&[5, 0, 1, 0, 7]).collect::<Vec<_>>(),
            [(1, &[7_u8][..])]
        );
    }
}
