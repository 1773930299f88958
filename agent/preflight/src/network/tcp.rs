//! `/proc/PID/net/tcp` and `tcp6` (`get_tcp4_sock`, `net/ipv4/tcp_ipv4.c`).

use std::collections::BTreeMap;
use std::path::Path;

use godwit_proc::bounded;
use godwit_proc::field::{fields, number};

const LIMIT: usize = 1_000_000;
/// States of `tcp_states.h`.
const SYN_RECV: u64 = 3;
const LISTEN: u64 = 10;

/// A listening socket with connections in its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) port: u16,
    pub(crate) connections: u64,
}

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Unaccepted(u64, Waiting),
    HalfOpen(u16),
}

/// Listening sockets with connections that wait, by inode number, and the local ports of handshakes that are not over.
pub(crate) fn waiting(net: &Path) -> (BTreeMap<u64, Waiting>, Vec<u16>) {
    let (mut unaccepted, mut half_open) = (BTreeMap::new(), Vec::new());
    for name in ["tcp", "tcp6"] {
        // Without IPv6 there is no such list.
        let _ = bounded::lines(&net.join(name), LIMIT, |line| match parse(line) {
            Some(Line::Unaccepted(inode, waiting)) => {
                unaccepted.insert(inode, waiting);
            }
            Some(Line::HalfOpen(port)) => half_open.push(port),
            None => {}
        });
    }
    half_open.dedup();
    (unaccepted, half_open)
}

/// sl local remote state tx:rx tr:when retransmits uid timeout inode …
fn parse(line: &[u8]) -> Option<Line> {
    let mut fields = fields(line).skip(1);
    let local = fields.next()?;
    let port = u16::try_from(number(local.rsplit(|&byte| byte == b':').next()?, 16)?).ok()?;
    let state = number(fields.nth(1)?, 16)?;
    // Of a listening socket: sk_ack_backlog.
    let connections = number(fields.next()?.rsplit(|&byte| byte == b':').next()?, 16)?;
    let inode = number(fields.nth(4)?, 10)?;
    match state {
        SYN_RECV => Some(Line::HalfOpen(port)),
        LISTEN if connections > 0 => Some(Line::Unaccepted(inode, Waiting { port, connections })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn lines_of_the_kernel_are_understood() {
        let line = |state: &str, queue: &str| {
            let line = format!(
                "   0: 0100007F:1F90 00000000:0000 {state} 00000000:{queue} 00:00000000 00000000 0 0 4711 1 0"
            );
            parse(line.as_bytes())
        };
        let waiting = Waiting {
            port: 8080,
            connections: 2,
        };
        assert_eq!(line("0A", "00000002"), Some(Line::Unaccepted(4711, waiting)));
        assert_eq!(line("0A", "00000000"), None);
        assert_eq!(line("01", "00000010"), None);
        assert_eq!(line("03", "00000000"), Some(Line::HalfOpen(8080)));
        assert_eq!(parse(b""), None);
        assert_eq!(
            parse(b"  sl  local_address rem_address   st tx_queue rx_queue"),
            None
        );
    }

    #[test]
    fn a_connection_waits_until_it_is_accepted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let waits = || {
            waiting(Path::new("/proc/thread-self/net"))
                .0
                .values()
                .any(|it| it.port == port)
        };
        assert!(waits());
        let _accepted = listener.accept().unwrap();
        assert!(!waits());
    }
}
