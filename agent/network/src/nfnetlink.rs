//! Netfilter's netlink protocol: just enough to install nftables rules and to bind packet queues.
//!
//! Layout from the kernel's `netlink.h`, `nfnetlink.h`. Speaking it directly needs no `nft` or `iptables` binary in the
//! agent's image and takes microseconds, where a spawned `iptables-restore` takes tens of milliseconds of the freeze.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use crate::Error;

/// `NLM_F_*` and message kinds that are needed here.
pub(crate) const REQUEST: u16 = 0x1;
pub(crate) const ACK: u16 = 0x4;
pub(crate) const DUMP: u16 = 0x300;
pub(crate) const CREATE: u16 = 0x400;
pub(crate) const APPEND: u16 = 0x800;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const HEADER: usize = 16;
const NESTED: u16 = 0x8000;
const ANSWER: Duration = Duration::from_secs(3);
/// Messages that the kernel keeps for a queue's owner while it is busy; packets beyond are dropped.
const RECEIVE_BUFFER: usize = 32 << 20;

/// A list of netlink attributes; grows by chained calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    pub(crate) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        // Values are names and small structures of this crate: they always fit.
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(crate) fn be32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(crate) fn be16(self, kind: u16, value: u16) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(crate) fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    pub(crate) fn nest(self, kind: u16, inner: &Self) -> Self {
        self.bytes(kind | NESTED, &inner.0)
    }
}

/// One message: kind (subsystem in the upper byte), flags, and the `nfgenmsg` fields family and resource.
pub(crate) fn message(kind: u16, flags: u16, family: u8, resource: u16, attributes: &Attributes) -> Vec<u8> {
    let length = HEADER + 4 + attributes.0.len();
    let mut out = Vec::with_capacity(length);
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
    out.extend_from_slice(&[0; 8]);
    out.push(family);
    out.push(0);
    out.extend_from_slice(&resource.to_be_bytes());
    out.extend_from_slice(&attributes.0);
    out
}

/// A netfilter netlink socket of the namespace in which it was opened, for ever.
pub(crate) struct Nfnetlink(Socket);

impl Nfnetlink {
    pub(crate) fn open() -> Result<Self, Error> {
        let connect = || -> std::io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_NETFILTER)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok(socket)
        };
        connect()
            .map(Self)
            .map_err(|source| Error::kernel("opening a netfilter socket", source))
    }

    /// Allows many waiting messages, beyond the system's limit if this process may.
    pub(crate) fn enlarge(&self) {
        if setsockopt(&self.0, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            // Without the right to exceed the limit the ordinary setting gives what the limit allows.
            let _ = setsockopt(&self.0, sockopt::RcvBuf, &RECEIVE_BUFFER);
        }
    }

    /// Sends messages in one datagram, without waiting for an answer.
    pub(crate) fn send(&self, what: &str, messages: &[u8]) -> Result<(), Error> {
        self.0
            .send(messages, 0)
            .map(drop)
            .map_err(|source| Error::kernel(what, source))
    }

    /// Sends messages and waits until `acks` of them were acknowledged; the first refusal ends it.
    pub(crate) fn request(&self, what: &str, messages: &[u8], acks: usize) -> Result<(), Error> {
        self.send(what, messages)?;
        let mut missing = acks;
        while missing > 0 {
            for answer in Answers(&self.receive(what)?) {
                let (kind, body) = answer.ok_or_else(|| Error::Malformed(format!("the answer to {what}")))?;
                if kind == ERROR {
                    acknowledged(what, body)?;
                    missing = missing.saturating_sub(1);
                }
            }
        }
        Ok(())
    }

    /// Sends a dump request and hands every answer (the part after `nfgenmsg`) to `each`.
    pub(crate) fn dump(&self, what: &str, request: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), Error> {
        self.send(what, request)?;
        loop {
            for answer in Answers(&self.receive(what)?) {
                match answer.ok_or_else(|| Error::Malformed(format!("the answer to {what}")))? {
                    (DONE, _) => return Ok(()),
                    (ERROR, body) => acknowledged(what, body)?,
                    (_, body) => each(body.get(4..).unwrap_or_default()),
                }
            }
        }
    }

    /// The next datagram, if one comes within `limit`.
    pub(crate) fn next(&self, limit: Duration) -> Result<Option<Vec<u8>>, Error> {
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => Ok(None),
            Ok(_) => self
                .0
                .recv_from_full()
                .map(|(bytes, _)| Some(bytes))
                .map_err(|source| Error::kernel("reading netlink", source)),
            Err(errno) => Err(Error::kernel("waiting for netlink", errno)),
        }
    }

    fn receive(&self, what: &str) -> Result<Vec<u8>, Error> {
        self.next(ANSWER)?.ok_or_else(|| Error::Deadline {
            what: what.into(),
            limit: ANSWER,
        })
    }
}

fn acknowledged(what: &str, body: &[u8]) -> Result<(), Error> {
    let code = body.first_chunk::<4>().map(|bytes| i32::from_ne_bytes(*bytes));
    match code {
        Some(0) => Ok(()),
        Some(errno) => Err(Error::kernel(what, std::io::Error::from_raw_os_error(-errno))),
        None => Err(Error::Malformed(format!("the answer to {what}"))),
    }
}

/// The messages of a datagram as (kind, body); `None` once if the rest is malformed.
struct Answers<'a>(&'a [u8]);

impl<'a> Iterator for Answers<'a> {
    type Item = Option<(u16, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.0);
        if bytes.is_empty() {
            return None;
        }
        let parsed = || {
            let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk::<4>()?)).ok()?;
            let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk::<2>()?);
            Some((
                kind,
                bytes.get(HEADER..length)?,
                bytes.get(length.next_multiple_of(4)..).unwrap_or_default(),
            ))
        };
        Some(parsed().map(|(kind, body, rest)| {
            self.0 = rest;
            (kind, body)
        }))
    }
}

/// The value of the first attribute of `kind`, nested or not.
pub(crate) fn attribute(mut bytes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk::<2>()?));
        let found = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk::<2>()?);
        let value = bytes.get(4..length)?;
        if found & 0x3fff == kind {
            return Some(value);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_found_again() {
        let list = Attributes::default()
            .text(1, "ab")
            .be32(2, 7)
            .nest(3, &Attributes::default().be16(1, 9));
        assert_eq!(list.0.len(), 8 + 8 + 12);
        assert_eq!(attribute(&list.0, 2), Some(&7_u32.to_be_bytes()[..]));
        let inner = attribute(&list.0, 3).unwrap();
        assert_eq!(attribute(inner, 1), Some(&9_u16.to_be_bytes()[..]));
        assert_eq!(attribute(&list.0, 4), None);
    }

    #[test]
    fn malformed_datagrams_end_cleanly() {
        let mut good = message(5, 0, 0, 0, &Attributes::default().be32(1, 1));
        assert_eq!(Answers(&good).flatten().count(), 1);
        good.truncate(good.len() - 1);
        assert_eq!(Answers(&good).collect::<Vec<_>>(), vec![None]);
        assert_eq!(Answers(&[16, 0, 0]).collect::<Vec<_>>(), vec![None]);
        assert_eq!(Answers(&[4, 0, 0, 0, 1, 0]).collect::<Vec<_>>(), vec![None]);
        assert_eq!(
            attribute(&[0, 0, 0, 0, 0, 0, 0, 0], 1),
            None,
            "a length of zero must not loop"
        );
    }
}
