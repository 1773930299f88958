//! Netfilter packet queues (`nfnetlink_queue.h`).

use std::time::Duration;

use crate::Error;
use crate::nfnetlink::{ACK, Attributes, Nfnetlink, message};

const SUBSYSTEM: u16 = 3;
/// Packets that one queue keeps; beyond it they are dropped and TCP sends them again.
const MOST_PACKETS: u32 = 32_768;
/// Packets are kept as they came, also those that stand for several (`NFQA_CFG_F_GSO`).
const GSO: u32 = 4;
const ACCEPT: u32 = 1;
/// Later than any packet: a queue numbers its packets from 1.
const LAST: u32 = 0x7fff_ffff;

/// What becomes of packets in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They wait; user space hears of each by a short message.
    Wait,
    /// They vanish at once: with copy mode "none" the kernel gives up on a packet (`nfqnl_enqueue_packet`: EINVAL)
    /// and frees it, without a word to user space.
    Vanish,
}

/// A queue socket. As soon as it is closed, the kernel drops what waits and the rules' bypass applies.
pub(crate) struct Queue {
    socket: Nfnetlink,
    number: u16,
}

impl Queue {
    /// Opens a socket in the calling thread's namespace, not bound to its queue yet.
    pub(crate) fn open(number: u16) -> Result<Self, Error> {
        let socket = Nfnetlink::open()?;
        socket.enlarge();
        Ok(Self { socket, number })
    }

    /// Takes the queue over; from now on packets wait or vanish. One system call, from any thread.
    pub(crate) fn bind(&self, fate: Fate) -> Result<(), Error> {
        let bind = Attributes::default().bytes(1, &[1, 0, 0, 0]);
        let attributes = match fate {
            Fate::Vanish => bind,
            // All in one message: a queue that is bound but not configured yet would make packets vanish.
            Fate::Wait => bind
                .bytes(2, &[0, 0, 0, 0, 1])
                .be32(3, MOST_PACKETS)
                .be32(4, GSO)
                .be32(5, GSO),
        };
        let what = format!("binding packet queue {}", self.number);
        self.socket.request(
            &what,
            &message(SUBSYSTEM << 8 | 2, ACK, 0, self.number, &attributes),
            1,
        )
    }

    /// Lets everything go on that waits now.
    pub(crate) fn accept_all(&self) -> Result<(), Error> {
        let mut verdict = [0; 8];
        verdict[..4].copy_from_slice(&ACCEPT.to_be_bytes());
        verdict[4..].copy_from_slice(&LAST.to_be_bytes());
        let attributes = Attributes::default().bytes(2, &verdict);
        self.socket.send(
            "releasing held packets",
            &message(SUBSYSTEM << 8 | 3, 0, 0, self.number, &attributes),
        )
    }

    /// Takes one message about a packet, if one comes within `limit`; gives whether one came. Its content does not
    /// matter: the socket's buffer must merely not fill up.
    pub(crate) fn heard(&self, limit: Duration) -> Result<bool, Error> {
        match self.socket.next(limit) {
            Ok(message) => Ok(message.is_some()),
            // Messages were lost; those packets were dropped by the kernel.
            Err(error) if error.errno() == Some(libc::ENOBUFS) => Ok(true),
            Err(error) => Err(error),
        }
    }
}
