//! Gratuitous ARP: tells a bridge's neighbours that an address moved.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::Error;

const ETHERTYPE_ARP: u16 = 0x0806;

/// An ARP announcement of `address` by `ethernet`: an Ethernet broadcast. `reply` chooses between the two customary
/// forms; systems differ in which one they believe.
fn announcement(ethernet: [u8; 6], address: Ipv4Addr, reply: bool) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(ethernet);
    frame.extend(ETHERTYPE_ARP.to_be_bytes());
    // Ethernet (1), IPv4 (0x0800), lengths 6 and 4, operation request (1) or reply (2).
    frame.extend([0, 1, 8, 0, 6, 4, 0, if reply { 2 } else { 1 }]);
    frame.extend(ethernet);
    frame.extend(address.octets());
    frame.extend(if reply { ethernet } else { [0; 6] });
    frame.extend(address.octets());
    frame
}

/// Broadcasts on interface `index` of the calling thread's namespace that `address` is at `ethernet`.
pub(crate) fn announce(index: u32, ethernet: [u8; 6], address: Ipv4Addr) -> Result<(), Error> {
    let failed = || {
        Error::kernel(
            format!("announcing {address} by ARP"),
            std::io::Error::last_os_error(),
        )
    };
    // SAFETY: a system call without pointers.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(failed());
    }
    // SAFETY: `fd` was just made and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: all-zero is a valid sockaddr_ll.
    let mut target: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    target.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
    target.sll_protocol = ETHERTYPE_ARP.to_be();
    target.sll_ifindex = index.cast_signed();
    target.sll_halen = 6;
    target.sll_addr[..6].copy_from_slice(&[0xff; 6]);
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or_default();
    for reply in [false, true] {
        let frame = announcement(ethernet, address, reply);
        // SAFETY: frame and target outlive the call, and their lengths are theirs.
        let sent = unsafe {
            libc::sendto(
                socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const target).cast(),
                length,
            )
        };
        if sent < 0 {
            return Err(failed());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_has_the_layout_of_rfc_826() {
        let frame = announcement([2, 0, 0, 0, 0, 7], Ipv4Addr::new(10, 1, 2, 3), false);
        assert_eq!(frame.len(), 42);
        assert_eq!(frame[12..22], [8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!(frame[22..32], [2, 0, 0, 0, 0, 7, 10, 1, 2, 3]);
        assert_eq!(frame[32..42], [0, 0, 0, 0, 0, 0, 10, 1, 2, 3]);
    }
}
