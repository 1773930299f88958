//! Where container runtimes listen, and who does.

use std::io;
use std::path::{Path, PathBuf};

use nix::sys::socket::{getsockopt, sockopt};
use tokio::net::UnixStream;

use crate::host::Host;

/// The sockets of containerd and CRI-O, in the host's view, most usual first. k3s and microk8s bring a containerd of their own.
pub const CANDIDATES: [&str; 4] = [
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
];

/// The candidates as paths that this process can reach.
pub fn candidates(host: &Host) -> Vec<PathBuf> {
    CANDIDATES.iter().map(|path| host.path(Path::new(path))).collect()
}

/// The PID of the process that listens at a unix socket, as the kernel recorded it.
pub async fn listener(path: &Path) -> io::Result<i32> {
    let stream = UnixStream::connect(path).await?;
    let peer = getsockopt(&stream, sockopt::PeerCredentials)?;
    match peer.pid() {
        // The peer is in a PID namespace that this process does not see.
        0 => Err(io::Error::from(io::ErrorKind::NotFound)),
        pid => Ok(pid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_candidate_fits_into_a_socket_address_below_the_hosts_root() {
        for path in candidates(&Host::default()) {
            assert!(path.as_os_str().len() < 108, "{}", path.display());
        }
    }

    #[tokio::test]
    async fn the_listener_is_the_process_that_listens() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listening = tokio::net::UnixListener::bind(&path).unwrap();
        assert_eq!(
            listener(&path).await.unwrap(),
            i32::try_from(std::process::id()).unwrap()
        );
    }
}
