//! Whether the CRIU that the agent has brought along runs on this node.

use std::time::Duration;

use godwit_crds::checks::source::ENGINE;
use tokio::sync::OnceCell;

use godwit_preflight::Finding;

use super::finding::of_node;
use crate::{install::host_command, node::Node};

/// It does nothing but say which it is.
const DEADLINE: Duration = Duration::from_secs(5);

/// Which CRIU runs here, once it has said so.
#[derive(Debug, Default)]
pub struct EngineVersion(OnceCell<String>);

impl EngineVersion {
    /// As it says itself (`4.2`). Fails, with why, if it does not.
    pub async fn version(&self, node: &Node) -> Result<String, String> {
        self.get(node).await.map(str::to_owned)
    }

    /// Asks it, unless it has answered before.
    async fn get(&self, node: &Node) -> Result<&str, String> {
        let ask = async || {
            let criu = node.layout_on_node.criu_relay();
            let criu = criu.to_string_lossy();
            let said = host_command::run(&node.host.root(), &[&criu, "--version"], DEADLINE).await;
            said.map_err(|error| crate::failure::chain(&error))
                .and_then(|said| version(&said))
        };
        self.0.get_or_try_init(ask).await.map(String::as_str)
    }
}

/// `Version: 4.2` is the first line of `criu --version`.
fn version(said: &str) -> Result<String, String> {
    let version = said.lines().find_map(|line| line.strip_prefix("Version:"));
    version
        .map(|version| version.trim().to_owned())
        .ok_or_else(|| "it does not say its version".to_owned())
}

/// Whether it takes inotify and fanotify watches on overlayfs: from 4.3 on (`criu/fsnotify.c`, file handles of overlayfs). Not known is no.
pub(super) async fn watches_on_overlay(node: &Node) -> bool {
    node.engine.get(node).await.is_ok_and(is_4_3)
}

fn is_4_3(version: &str) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(4), Some(3))
}

/// The check.
pub(super) async fn check(node: &Node) -> Option<Finding> {
    let error = node.engine.get(node).await.err()?;
    Some(of_node(
        &ENGINE,
        format!(
            "CRIU does not run on node {}: {error}; look at the godwit-agent pod of that node, which installs it",
            node.name
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_taken_from_what_criu_says() {
        assert_eq!(version("Version: 4.2\nGitID: v4.2\n").as_deref(), Ok("4.2"));
        assert!(version("").is_err());
    }

    #[test]
    fn watches_on_overlay_are_for_later_versions() {
        for (version, can) in [
            ("3.17.1", false),
            ("4.2", false),
            ("4.3", true),
            ("4.10.1", true),
            ("5", true),
            ("", false),
        ] {
            assert_eq!(is_4_3(version), can, "{version}");
        }
    }
}
