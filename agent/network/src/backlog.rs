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

/// Waits until every connection of the namespace has been accepted, at most for `limit`; gives whether that is so.
pub(crate) async fn accepted(pod: &Netns, limit: Duration) -> Result<bool, Error> {
    pod.run("waiting for connections to be accepted", move || {
        let until = Instant::now() + limit;
        loop {
            if !waits("tcp")? && !waits("tcp6")? {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    })
    .await
}

fn waits(list: &str) -> Result<bool, Error> {
    let Some(list) = SocketList::open(list)? else {
        return Ok(false);
    };
    for line in list {
        if is_waiting(&line?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// True for a listening socket with connections in its queue (its `rx_queue` is `sk_ack_backlog`, `net/ipv4/tcp_ipv4.c`), and for a handshake
/// that is not over. Lines that are of another form are not waited for.
fn is_waiting(line: &str) -> bool {
    let mut fields = line.split_ascii_whitespace().skip(3);
    let state = fields.next().and_then(|state| u8::from_str_radix(state, 16).ok());
    let queued = fields
        .next()
        .and_then(|queues| queues.split_once(':'))
        .map(|(_, queued)| queued);
    match state {
        Some(SYN_RECV) => true,
        Some(LISTEN) => queued.is_some_and(|queued| queued.bytes().any(|digit| digit != b'0')),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn lines_of_the_kernel_are_understood() {
        for (line, waiting) in [
            (
                "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1",
                false,
            ),
            (
                "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000002 00:00000000 00000000 0 0 1",
                true,
            ),
            (
                "   1: 0100007F:1F90 0100007F:9C40 03 00000000:00000000 01:00000063 00000000 0 0 0",
                true,
            ),
            (
                "   2: 0100007F:1F90 0100007F:9C40 01 00000000:00000010 00:00000000 00000000 0 0 3",
                false,
            ),
            ("", false),
        ] {
            assert_eq!(is_waiting(line), waiting, "{line}");
        }
    }

    #[test]
    fn a_connection_waits_until_it_is_accepted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let own = || {
            let list = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
            let local = format!(":{port:04X} 00000000:0000 0A");
            list.lines().filter(|line| line.contains(&local)).any(is_waiting)
        };
        assert!(own());
        let _accepted = listener.accept().unwrap();
        assert!(!own());
    }
}
