//! The kernel's lists of sockets of a namespace (`/proc/net/tcp` and its like).

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Lines, Read, Take};
use std::iter::Skip;

use crate::Error;

/// At most this much of a list is read: about 400,000 sockets.
pub(crate) const MOST: u64 = 64 << 20;

/// The lines of one list, without its heading.
pub(crate) struct SocketList {
    path: String,
    lines: Skip<Lines<BufReader<Take<File>>>>,
}

impl SocketList {
    /// That list of the calling thread's namespace; `None` if the kernel has no such (no IPv6, or a protocol that is not loaded).
    pub(crate) fn open(name: &str) -> Result<Option<Self>, Error> {
        let path = format!("/proc/thread-self/net/{name}");
        match File::open(&path) {
            Ok(file) => {
                let lines = BufReader::new(file.take(MOST)).lines().skip(1);
                Ok(Some(Self { path, lines }))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::kernel(format!("reading {path}"), source)),
        }
    }

    /// The error of a list that is not understood.
    pub(crate) fn malformed(&self) -> Error {
        Error::Malformed(self.path.clone())
    }
}

impl Iterator for SocketList {
    type Item = Result<String, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.lines.next()?;
        Some(line.map_err(|source| Error::kernel(format!("reading {}", self.path), source)))
    }
}
