//! Messages with descriptors over `SOCK_SEQPACKET` sockets, whole and of any size that runc and CRIU use.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};

/// No message is longer: runc reads at most 40 KiB, its requests carry one entry for each mount.
const MAX_MESSAGE: usize = 1024 * 1024;
/// No message carries more descriptors: CRIU sends one at a time.
const MAX_DESCRIPTORS: usize = 16;

/// One message.
#[derive(Debug, Default)]
pub struct Packet {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The descriptors that came along.
    pub descriptors: Vec<OwnedFd>,
}

/// Receives one message; `None` when the other end is closed. A message too long is `EMSGSIZE`.
pub fn receive(socket: impl AsFd) -> Result<Option<Packet>, Errno> {
    let mut bytes = vec![0; MAX_MESSAGE];
    let mut space = nix::cmsg_space!([RawFd; MAX_DESCRIPTORS]);
    let (length, descriptors) = loop {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        match recvmsg::<UnixAddr>(socket.as_fd().as_raw_fd(), &mut slices, Some(&mut space), flags) {
            Ok(message) => {
                let mut descriptors = Vec::new();
                for control in message.cmsgs()? {
                    if let ControlMessageOwned::ScmRights(numbers) = control {
                        // SAFETY: the kernel has just made these descriptors for us and nobody else knows them.
                        descriptors.extend(numbers.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
                    }
                }
                if message
                    .flags
                    .intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC)
                {
                    return Err(Errno::EMSGSIZE);
                }
                break (message.bytes, descriptors);
            }
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET) => return Ok(None),
            Err(error) => return Err(error),
        }
    };
    if length == 0 {
        return Ok(None);
    }
    bytes.truncate(length);
    Ok(Some(Packet { bytes, descriptors }))
}

/// Sends one message. `EPIPE` when the other end is closed; never a signal.
pub fn send(socket: impl AsFd, packet: &Packet) -> Result<(), Errno> {
    let numbers: Vec<RawFd> = packet.descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let controls = if numbers.is_empty() {
        &rights[..0]
    } else {
        &rights[..]
    };
    loop {
        let slices = [IoSlice::new(&packet.bytes)];
        match sendmsg::<UnixAddr>(
            socket.as_fd().as_raw_fd(),
            &slices,
            controls,
            MsgFlags::MSG_NOSIGNAL,
            None,
        ) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .unwrap()
    }

    #[test]
    fn messages_keep_their_bounds_and_descriptors() {
        let (a, b) = pair();
        let (read, write) = nix::unistd::pipe().unwrap();
        send(
            &a,
            &Packet {
                bytes: vec![7; 60_000],
                descriptors: vec![write],
            },
        )
        .unwrap();
        send(
            &a,
            &Packet {
                bytes: vec![8],
                descriptors: Vec::new(),
            },
        )
        .unwrap();
        drop(a);
        let first = receive(&b).unwrap().unwrap();
        assert_eq!(first.bytes, vec![7; 60_000]);
        nix::unistd::write(&first.descriptors[0], b"x").unwrap();
        let mut byte = [0];
        nix::unistd::read(&read, &mut byte).unwrap();
        assert_eq!(&byte, b"x");
        assert_eq!(receive(&b).unwrap().unwrap().bytes, [8]);
        assert!(receive(&b).unwrap().is_none());
    }

    #[test]
    fn a_closed_end_is_an_error_and_no_signal() {
        let (a, b) = pair();
        drop(b);
        assert_eq!(
            send(
                &a,
                &Packet {
                    bytes: vec![1],
                    descriptors: Vec::new()
                }
            )
            .unwrap_err(),
            Errno::EPIPE
        );
    }
}
