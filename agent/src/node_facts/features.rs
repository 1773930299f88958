//! What CRIU says that this kernel can do: it tries, as a dump or restore would.

use std::collections::BTreeMap;
use std::time::Duration;

use godwit_crds::CriuFacts;

use crate::{
    failure::chain,
    install::{NodeError, host_command},
    node::Node,
};

/// The features that are compared between nodes, by CRIU's names (`feature_list`, `criu/cr-check.c`).
const FEATURES: [&str; 4] = ["uffd-noncoop", "timens", "clone3_set_tid", GUARD_PAGES];
/// The one of which CRIU says nothing where the kernel knows nothing of it.
const GUARD_PAGES: &str = "pagemap_scan_guard_pages";
/// One question takes a tenth of a second.
const DEADLINE: Duration = Duration::from_secs(10);

/// CRIU's version and answers; `None` if it does not even say its version.
pub(super) async fn ask(node: &Node) -> Option<CriuFacts> {
    let version = node.engine.version(node).await.ok()?;
    let criu = node.layout_on_node.criu_relay();
    let criu = criu.to_string_lossy();
    let mut features = BTreeMap::new();
    // One after the other: CRIU keeps what it has found out in a file that all of them write.
    for feature in FEATURES {
        let argv = [&*criu, "check", "--feature", feature];
        let said = host_command::run(&node.host.root(), &argv, DEADLINE).await;
        if let Some(has) = answer(feature, &said) {
            features.insert(feature.to_owned(), has);
        } else {
            let said = said.map_err(|error| chain(&error));
            tracing::warn!(
                feature,
                ?said,
                "CRIU does not say whether this kernel has a feature"
            );
        }
    }
    Some(CriuFacts { version, features })
}

/// `None` is: not known. CRIU ends alike if it has not found a feature and if something else was wrong; only the first has these words.
fn answer(feature: &str, said: &Result<String, NodeError>) -> Option<bool> {
    match said {
        Ok(words) => words.contains("is supported").then_some(true),
        Err(NodeError::Failed { message, .. }) => {
            let is_missing = message.contains(" not supported")
                || (feature == GUARD_PAGES && message.starts_with("no message (exit status: 1)"));
            is_missing.then_some(false)
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(message: &str) -> Result<String, NodeError> {
        Err(NodeError::Failed {
            program: "criu check".to_owned(),
            message: format!("{message} (exit status: 1)"),
        })
    }

    #[test]
    fn yes_and_no_are_told_from_anything_else() {
        let lacks = "Error (criu/cr-check.c:1): Time namespaces are not supported";
        let cannot_run = std::io::Error::other("Operation not supported");
        for (feature, said, expected) in [
            ("timens", Ok("timens is supported\n".to_owned()), Some(true)),
            ("timens", Ok(String::new()), None),
            ("timens", failed(lacks), Some(false)),
            (
                "clone3_set_tid",
                failed("Warn (x): clone3() with set_tid not supported"),
                Some(false),
            ),
            (
                "uffd-noncoop",
                failed("Error (x): UFFD is not supported"),
                Some(false),
            ),
            ("timens", failed("Error (x): Unknown feature timens"), None),
            ("timens", failed("no message"), None),
            (GUARD_PAGES, failed("no message"), Some(false)),
            // The kernel can make them, and CRIU cannot see them: nothing that another node's images would have.
            (
                GUARD_PAGES,
                failed("Please, consider updating your kernel."),
                None,
            ),
            (
                "timens",
                Err(NodeError::Spawn {
                    program: "criu".to_owned(),
                    source: cannot_run,
                }),
                None,
            ),
        ] {
            assert_eq!(answer(feature, &said), expected, "{feature} {said:?}");
        }
    }
}
