//! Settings of the network namespace.

use std::path::Path;

use anyhow::{Context, Result};

/// Packets of pods are forwarded; and packets between two pods of one node, which meet at the bridge only, pass the
/// Services' rules too.
pub(super) fn be_a_router() -> Result<()> {
    let net = Path::new("/proc/sys/net");
    let forward = net.join("ipv4/ip_forward");
    std::fs::write(&forward, "1").with_context(|| format!("write {}", forward.display()))?;
    for version in ["iptables", "ip6tables"] {
        let bridge = net.join(format!("bridge/bridge-nf-call-{version}"));
        // Without br_netfilter the file is missing; only Services between pods of one node suffer.
        if bridge.exists() {
            std::fs::write(&bridge, "1").with_context(|| format!("write {}", bridge.display()))?;
        }
    }
    Ok(())
}
