//! Connections that the kernel has made, or is making, and that no process has accepted yet.
//!
//! CRIU refuses to dump a listening socket with such ("In-flight connection", `criu/sk-inet.c`); with its `skip-in-flight` they would be lost.

use std::time::{Duration, Instant};

use crate::socket_list::SocketList;
use crate::{Error, Netns};

/// How often it is looked.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// States of `tcp_states.h`.
const SYN_RECV: u8 = 3;
const LISTEN: u8 = 10;

/// The connections of a namespace that nobody has accepted.
#[derive(Clone, Debug)]
pub struct Backlog(Netns);

impl Backlog {
    pub(crate) fn of(pod: Netns) -> Self {
        Self(pod)
    }

    /// Whether no listening socket has any. Blocks for a fraction of a millisecond, however many connections there are.
    pub fn is_empty(&self) -> Result<bool, Error> {
        // The kernel lists listening sockets before all others (`tcp_seek_last_pos`, `net/ipv4/tcp_ipv4.c`).
        self.0.visit(|| {
            let is_queued = |list| any(list, |socket| (socket.state == LISTEN).then_some(socket.queued));
            Ok(!is_queued("tcp")? && !is_queued("tcp6")?)
        })
    }

    /// Waits until every connection has been accepted, and every handshake is over, at most for `limit`; gives whether that is so.
    pub async fn emptied(&self, limit: Duration) -> Result<bool, Error> {
        let look = move || {
            let until = Instant::now() + limit;
            let waits = |list| any(list, |socket| Some(socket.queued || socket.state == SYN_RECV));
            loop {
                if !waits("tcp")? && !waits("tcp6")? {
                    return Ok(true);
                }
                if Instant::now() >= until {
                    return Ok(false);
                }
                std::thread::sleep(LOOK_AGAIN);
            }
        };
        self.0.run("waiting for connections to be accepted", look).await
    }
}

/// Whether `is_one` says so of a socket of this list, up to the first of which it says nothing. Lines that are of another form are passed over.
fn any(list: &str, is_one: impl Fn(Socket) -> Option<bool>) -> Result<bool, Error> {
    let Some(list) = SocketList::open(list)? else {
        return Ok(false);
    };
    for line in list {
        match Socket::parse(&line?).map(&is_one) {
            Some(Some(true)) => return Ok(true),
            Some(None) => break,
            Some(Some(false)) | None => {}
        }
    }
    Ok(false)
}

/// What of a line matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    state: u8,
    /// Whether it listens and has connections in its queue: its `rx_queue` is `sk_ack_backlog` (`net/ipv4/tcp_ipv4.c`).
    queued: bool,
}

impl Socket {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace().skip(3);
        let state = u8::from_str_radix(fields.next()?, 16).ok()?;
        let (_, queue) = fields.next()?.split_once(':')?;
        let queued = state == LISTEN && queue.bytes().any(|digit| digit != b'0');
        Some(Self { state, queued })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn lines_of_the_kernel_are_understood() {
        for (line, state, queued) in [
            (
                "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1",
                LISTEN,
                false,
            ),
            (
                "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000002 00:00000000 00000000 0 0 1",
                LISTEN,
                true,
            ),
            (
                "   1: 0100007F:1F90 0100007F:9C40 03 00000000:00000000 01:00000063 00000000 0 0 0",
                SYN_RECV,
                false,
            ),
            (
                "   2: 0100007F:1F90 0100007F:9C40 01 00000000:00000010 00:00000000 00000000 0 0 3",
                1,
                false,
            ),
        ] {
            assert_eq!(Socket::parse(line), Some(Socket { state, queued }), "{line}");
        }
        assert_eq!(Socket::parse(""), None);
    }

    #[test]
    fn a_connection_waits_until_it_is_accepted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let own = || {
            let list = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
            let local = format!(":{port:04X} 00000000:0000 0A");
            let mut own = list.lines().filter(|line| line.contains(&local));
            own.any(|line| Socket::parse(line).unwrap().queued)
        };
        assert!(own());
        let _accepted = listener.accept().unwrap();
        assert!(!own());
    }
}
