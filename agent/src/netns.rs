//! Entering network namespaces of the node by the paths that its container runtime names.

use std::{os::fd::AsRawFd, path::Path};

use godwit_container::host::Host;
use godwit_network::Netns;
use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::Mode,
};

/// Opens a network namespace by its path on the node.
///
/// `/var/run` is an absolute link to `/run` on most nodes: followed through `/proc/1/root` it would lead into the agent's own
/// root, so the path is resolved inside the node's.
pub fn open(host: &Host, on_node: &Path) -> Result<Netns, godwit_network::Error> {
    let plain = host.path(on_node);
    let below = on_node.strip_prefix("/").unwrap_or(on_node);
    let resolved = std::fs::File::open(host.root()).ok().and_then(|root| {
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC)
            .mode(Mode::empty())
            .resolve(ResolveFlag::RESOLVE_IN_ROOT);
        openat2(&root, below, how).ok()
    });
    match resolved {
        // `/proc/PID/ns/net` is a magic link, which cannot be resolved so; it needs no care either.
        None => Netns::open(&plain),
        Some(file) => Netns::open(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd()))),
    }
}
