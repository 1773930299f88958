//! The page server of a lazy dump, ended before it begins.
//!
//! CRIU ends a lazy dump as a page server: it holds the tasks by ptrace until a client has had the pages or says `CLOSE`. Ours are read from the
//! frozen tasks by the agent, so CRIU gets a socket in which `CLOSE` waits already, and it never waits itself. runc and RPC offer
//! nothing but a TCP port open to all (`cr-service.c`: `ps.fd` is not looked at in a lazy dump), but the option `ps-socket` of CRIU's
//! configuration file names a descriptor that CRIU was started with. Should that socket be closed first, CRIU takes it for a `CLOSE`
//! (`page_server_serve` in `page-xfer.c`): whoever dies, CRIU goes on to its end.

use std::io::Write as _;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::errno::Errno;

use super::RelayError;
use crate::record::{CONFIG, RecordDir};

/// `PS_IOV_CLOSE` of `page-xfer.c`.
const CLOSE: u32 = 0x1023;
/// `struct page_server_iov`: the command, padding, three numbers of 64 bits.
const MESSAGE: usize = 32;

/// A pair of sockets: ours, and CRIU's, in which it will read `CLOSE`. Ours takes CRIU's answer and must only be kept.
pub(super) fn ended_page_server() -> Result<(OwnedFd, OwnedFd), RelayError> {
    let failed = |error: std::io::Error| RelayError::System {
        action: "make CRIU's page server",
        source: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
    };
    let (mut ours, criu) = UnixStream::pair().map_err(failed)?;
    let mut message = [0; MESSAGE];
    message[..4].copy_from_slice(&CLOSE.to_ne_bytes());
    ours.write_all(&message).map_err(failed)?;
    Ok((ours.into(), criu.into()))
}

/// Writes CRIU's configuration of this dump into the gate directory: that of all our calls, and the socket.
pub(super) fn configure(gate: &Path, common: Option<&Path>, socket: RawFd) -> Result<(), RelayError> {
    let mut text = Vec::new();
    if let Some(path) = common {
        text = std::fs::read(path).map_err(|source| RelayError::Config {
            path: path.to_path_buf(),
            source,
        })?;
    }
    text.extend_from_slice(format!("\nps-socket {socket}\n").as_bytes());
    Ok(RecordDir::open_handed(gate)?.write(CONFIG, &text)?)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn criu_reads_a_close_at_once() {
        let (ours, criu) = ended_page_server().unwrap();
        let mut criu = UnixStream::from(criu);
        let mut message = [0; MESSAGE];
        criu.read_exact(&mut message).unwrap();
        assert_eq!(u32::from_ne_bytes(message[..4].try_into().unwrap()), 0x1023);
        assert!(message[4..].iter().all(|byte| *byte == 0));
        // Its answer finds room, though nobody reads it.
        criu.write_all(&[0; 4]).unwrap();
        drop(ours);
    }

    #[test]
    fn the_common_configuration_is_kept() {
        let gate = tempfile::tempdir().unwrap();
        let common = gate.path().join("common");
        std::fs::write(&common, "network-lock skip").unwrap();
        configure(gate.path(), Some(&common), 300).unwrap();
        let text = std::fs::read_to_string(gate.path().join(CONFIG)).unwrap();
        assert_eq!(text, "network-lock skip\nps-socket 300\n");
        let missing = configure(gate.path(), Some(Path::new("/nonexistent/criu.conf")), 300);
        assert_eq!(missing.unwrap_err().reason(), "CriuConfigUnreadable");
    }
}
