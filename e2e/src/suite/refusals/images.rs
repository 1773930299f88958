//! The same image, by content, or no migration.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use super::refusal::says;
use crate::images::{redis, workload};
use crate::suite::failures::subject::{Subject, redis_container};
use crate::suite::failures::traces::Traces;
use crate::suite::{Behaviour, Lab};

pub(super) const ABSENT: Behaviour = Behaviour::new(
    "a pod whose image cannot be had at the destination stays",
    |lab| Box::pin(absent(lab)),
);
pub(super) const DIFFERENT: Behaviour = Behaviour::new(
    "a pod whose tag names another image at the destination stays",
    |lab| Box::pin(different(lab)),
);

/// How long the node's container runtime may take.
const TAGGING: Duration = Duration::from_secs(30);

async fn absent(lab: &Lab) -> Result<()> {
    let name = format!("localhost/{}:1", lab.namespace());
    tag(lab, "n1", redis::IMAGE, &name).await?;
    let result = stays(lab, &name, "ImageUnavailable", &[&name, "n2"]).await;
    untag(lab, "n1", &name).await?;
    result
}

async fn different(lab: &Lab) -> Result<()> {
    let name = format!("localhost/{}:1", lab.namespace());
    tag(lab, "n1", redis::IMAGE, &name).await?;
    // The node has the source's image too, but by another name: having it is not enough.
    tag(lab, "n2", workload::IMAGE, &name).await?;
    let result = stays(lab, &name, "ImageDiffers", &["redis", "tag"]).await;
    untag(lab, "n1", &name).await?;
    untag(lab, "n2", &name).await?;
    result
}

/// A pod of that image does not move for that reason.
async fn stays(lab: &Lab, image: &str, reason: &str, words: &[&str]) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut container = redis_container();
    container["image"] = json!(image);
    let pod = lab
        .pod("subject", Some("n1"), json!({"containers": [container]}))
        .await?;
    let subject = Subject::of(lab, &pod, "n1").await?;
    let migration = subject.departs().await?;
    let status = subject.stays(&migration).await?;
    says(&status, reason, words)?;
    println!("        {reason}: {}", status.message.unwrap_or_default());
    before.no_more(lab).await?;
    subject.end().await
}

async fn tag(lab: &Lab, node: &str, from: &str, to: &str) -> Result<()> {
    images(lab, node, &["tag", "--force", from, to]).await
}

async fn untag(lab: &Lab, node: &str, name: &str) -> Result<()> {
    images(lab, node, &["rm", name]).await
}

async fn images(lab: &Lab, node: &str, words: &[&str]) -> Result<()> {
    let mut command = vec!["ctr", "--namespace", "k8s.io", "images"];
    command.extend(words);
    lab.on_node(node, &command, TAGGING)
        .await
        .with_context(|| format!("{words:?} on {node}"))
        .map(drop)
}
