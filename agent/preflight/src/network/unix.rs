//! Unix sockets and their peers (`unix_diag.h`, `net/unix/diag.c`). `/proc/net/unix` does not tell peers.

use std::collections::BTreeMap;
use std::path::Path;

use super::diag;

/// `SOCK_DIAG_BY_FAMILY`, `NLM_F_REQUEST | NLM_F_DUMP`.
const BY_FAMILY: u16 = 20;
const DUMP: u16 = 0x301;
/// `UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS`; how a socket is shut down comes unasked.
const SHOW: u32 = 1 | 4 | 8;
/// Attributes.
const NAME: u16 = 0;
const PEER: u16 = 2;
const ICONS: u16 = 3;
const SHUTDOWN: u16 = 6;
/// Of `struct unix_diag_msg`.
const HEAD: usize = 16;
/// `TCP_ESTABLISHED`: unix sockets use TCP's states.
const ESTABLISHED: u8 = 1;

/// One of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Socket {
    /// `SOCK_STREAM` (1), `SOCK_DGRAM` (2), `SOCK_SEQPACKET` (5).
    pub(crate) kind: u8,
    /// Whether it is connected.
    pub(crate) connected: bool,
    /// The peer's inode number. `Some(0)`: it has none, because nobody has accepted the connection yet, or the peer is closed.
    pub(crate) peer: Option<u64>,
    /// Of a listening socket: the clients that it has not accepted yet.
    pub(crate) waiting: Vec<u64>,
    /// Nothing goes either way any more.
    pub(crate) shut_down: bool,
    /// Its path, or with an `@` its name in the abstract namespace.
    pub(crate) name: Option<String>,
}

/// Those of the network namespace, by inode number. Empty if it may not be asked.
pub(crate) fn all(namespace: &Path) -> BTreeMap<u64, Socket> {
    let mut all = BTreeMap::new();
    if diag::ask(namespace, &question(), |message| all.extend(parse(message))).is_err() {
        // Half of them would make peers that are not among them look like strangers.
        all.clear();
    }
    all
}

fn question() -> Vec<u8> {
    let mut question = Vec::with_capacity(40);
    question.extend(40_u32.to_ne_bytes());
    question.extend(BY_FAMILY.to_ne_bytes());
    question.extend(DUMP.to_ne_bytes());
    // Sequence and sender.
    question.extend([0; 8]);
    // struct unix_diag_req: family AF_UNIX, all states, any inode.
    question.extend([1, 0, 0, 0]);
    question.extend(u32::MAX.to_ne_bytes());
    question.extend([0; 4]);
    question.extend(SHOW.to_ne_bytes());
    question.extend([0; 8]);
    question
}

fn parse(message: &[u8]) -> Option<(u64, Socket)> {
    let (kind, state) = (*message.get(1)?, *message.get(2)?);
    let inode = numbers(message.get(4..8)?).next()?;
    let mut socket = Socket {
        kind,
        connected: state == ESTABLISHED,
        ..Socket::default()
    };
    for (attribute, value) in diag::attributes(message.get(HEAD..)?) {
        match attribute {
            NAME => socket.name = Some(name(value)),
            PEER => socket.peer = numbers(value).next(),
            ICONS => socket.waiting = numbers(value).collect(),
            SHUTDOWN => socket.shut_down = value.first() == Some(&3),
            _ => {}
        }
    }
    Some((inode, socket))
}

fn numbers(value: &[u8]) -> impl Iterator<Item = u64> {
    let (numbers, _) = value.as_chunks::<4>();
    numbers.iter().map(|bytes| u32::from_ne_bytes(*bytes).into())
}

fn name(value: &[u8]) -> String {
    match value.split_first() {
        Some((0, abstract_name)) => format!("@{}", String::from_utf8_lossy(abstract_name)),
        _ => String::from_utf8_lossy(value).trim_end_matches('\0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_kernel_are_understood() {
        let mut message = vec![1, 1, ESTABLISHED, 0];
        message.extend(77_u32.to_ne_bytes());
        message.extend([0; 8]);
        for (kind, value) in [
            (PEER, 78_u32.to_ne_bytes()),
            (NAME, *b"\0abc"),
            (SHUTDOWN, [3, 0, 0, 0]),
        ] {
            message.extend(8_u16.to_ne_bytes());
            message.extend(kind.to_ne_bytes());
            message.extend(value);
        }
        let (inode, socket) = parse(&message).unwrap();
        assert_eq!(inode, 77);
        assert_eq!(
            (socket.kind, socket.connected, socket.peer, socket.shut_down),
            (1, true, Some(78), true)
        );
        assert_eq!(socket.name.as_deref(), Some("@abc"));
        for cut in 0..HEAD {
            assert_eq!(parse(&message[..cut]), None);
        }
    }
}
