//! A node that says that its processor lacks features.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use godwit_crds::{NODE_FACTS_ANNOTATION, NodeFacts};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, ResourceExt};

use crate::suite::Lab;

/// Where agents look.
const FILE: &str = "/run/godwit/cpu-without";
/// Agents that are built for tests look twice a second.
const SOON: Duration = Duration::from_secs(15);

/// The fake: as long as it is held, also if a behaviour runs out of its time.
pub struct Fake {
    node: String,
    path: PathBuf,
    before: NodeFacts,
}

impl Fake {
    /// Has the agent of a node leave these features out; returns when it has said so.
    pub async fn begin(lab: &Lab, node: &str, without: &[String]) -> Result<Self> {
        let fake = Self {
            node: node.to_owned(),
            path: lab.cluster().node(node)?.path(FILE),
            before: facts(lab, node).await?,
        };
        std::fs::write(&fake.path, without.join("\n"))
            .with_context(|| format!("write {}", fake.path.display()))?;
        lab.until("the agent to say that its node is poorer", SOON, async || {
            let cpu = facts(lab, node).await?.cpu.unwrap_or_default();
            let is_poorer = !without.iter().any(|name| cpu.features.contains(name));
            Ok(is_poorer.then_some(()))
        })
        .await?;
        Ok(fake)
    }

    /// Ends it; returns when the node is as it was.
    pub async fn end(self, lab: &Lab) -> Result<()> {
        let (node, before) = (self.node.clone(), self.before.clone());
        drop(self);
        lab.until("the agent to say that its node is as it was", SOON, async || {
            Ok((facts(lab, &node).await? == before).then_some(()))
        })
        .await
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        // That it is gone already is as well.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What the agent of a node says of it.
pub async fn facts(lab: &Lab, node: &str) -> Result<NodeFacts> {
    let node = Api::<Node>::all(lab.client()).get(node).await?;
    let text = node.annotations().get(NODE_FACTS_ANNOTATION);
    let text = text.with_context(|| format!("{} has no facts", node.name_any()))?;
    NodeFacts::from_annotation(text).with_context(|| format!("the facts of {}", node.name_any()))
}
