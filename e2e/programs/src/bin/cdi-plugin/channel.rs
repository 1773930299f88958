//! Two channels of ttrpc messages over one socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

/// Longest message that is taken.
const LONGEST: usize = 8 << 20;
/// Before a piece on the socket: channel and length.
const PIECE: usize = 8;
/// Before a message on a channel: length, stream, kind, flags.
const HEADER: usize = 10;

/// Who asks on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The runtime.
    Asked = 1,
    /// The plugin.
    Asking = 2,
}

/// What a message is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Request = 1,
    Response = 2,
    Other = 3,
}

/// The socket.
pub struct Trunk {
    socket: UnixStream,
    /// What has come on each channel and is no whole message yet.
    begun: [Vec<u8>; 2],
}

impl Trunk {
    pub fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            begun: [Vec::new(), Vec::new()],
        }
    }

    /// Sends one message, in one piece.
    pub fn send(&mut self, channel: Channel, stream: u32, kind: Kind, payload: &[u8]) -> io::Result<()> {
        let length = |of: usize| u32::try_from(of).map_err(io::Error::other);
        let mut piece = Vec::with_capacity(PIECE + HEADER + payload.len());
        piece.extend((channel as u32).to_be_bytes());
        piece.extend(length(HEADER + payload.len())?.to_be_bytes());
        piece.extend(length(payload.len())?.to_be_bytes());
        piece.extend(stream.to_be_bytes());
        piece.extend([kind as u8, 0]);
        piece.extend(payload);
        self.socket.write_all(&piece)
    }

    /// The next message of either channel. Fails with the connection.
    pub fn receive(&mut self) -> io::Result<(Channel, u32, Kind, Vec<u8>)> {
        loop {
            for (begun, channel) in self.begun.iter_mut().zip([Channel::Asked, Channel::Asking]) {
                if let Some((stream, kind, payload)) = whole(begun)? {
                    return Ok((channel, stream, kind, payload));
                }
            }
            let mut head = [0; PIECE];
            self.socket.read_exact(&mut head)?;
            let [channel, length] = [0, 4].map(|at| be(&head, at));
            if length > LONGEST {
                return Err(io::Error::other("a piece is too long"));
            }
            let mut piece = vec![0; length];
            self.socket.read_exact(&mut piece)?;
            if let Some(begun) = channel.checked_sub(1).and_then(|at| self.begun.get_mut(at)) {
                begun.extend(piece);
            }
        }
    }
}

/// Takes a message from the beginning, if all of it is there.
fn whole(begun: &mut Vec<u8>) -> io::Result<Option<(u32, Kind, Vec<u8>)>> {
    if begun.len() < HEADER {
        return Ok(None);
    }
    let length = be(begun, 0);
    if length > LONGEST {
        return Err(io::Error::other("a message is too long"));
    }
    if begun.len() < HEADER + length {
        return Ok(None);
    }
    let stream = u32::try_from(be(begun, 4)).map_err(io::Error::other)?;
    let kind = match begun[8] {
        1 => Kind::Request,
        2 => Kind::Response,
        _ => Kind::Other,
    };
    let payload = begun[HEADER..HEADER + length].to_vec();
    begun.drain(..HEADER + length);
    Ok(Some((stream, kind, payload)))
}

fn be(bytes: &[u8], at: usize) -> usize {
    bytes[at..at + 4]
        .iter()
        .fold(0, |value, &byte| value << 8 | usize::from(byte))
}
