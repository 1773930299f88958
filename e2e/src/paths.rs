//! Where things are kept: what is slow to make in the user's cache, what belongs to one run under `/run`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder of everything that is slow to make and may be kept for ever:
/// `$XDG_CACHE_HOME/godwit-e2e`, else `~/.cache/godwit-e2e`. It is not created here.
pub fn cache_dir() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
            .join(".cache"),
    };
    Ok(base.join("godwit-e2e"))
}

/// The folder of the one cluster of this machine. It does not depend on the user's environment: names of network
/// namespaces and links are the machine's own, so there can be one cluster only, and any root shell must find it.
pub fn state_dir() -> PathBuf {
    PathBuf::from("/run/godwit-e2e")
}

/// The administrator's kubeconfig of the cluster that is up (or was, or will be).
pub fn kubeconfig() -> PathBuf {
    state_dir().join("kubeconfig")
}

/// The folder of the logs of all components: `<node>-kubelet.log`, `control-plane-kube-apiserver.log`, …
pub fn log_dir() -> PathBuf {
    state_dir().join("log")
}

/// The workspace this program was built from: images of the product are built from there.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
