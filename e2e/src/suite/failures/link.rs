//! The link between two nodes is cut, before and in the freeze.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::fault;
use super::subject::Subject;
use super::traces::Traces;
use crate::migration::told;
use crate::suite::{Behaviour, Lab};

pub(super) const CUT: Behaviour = Behaviour::new(
    "a link that is cut before or in the freeze leaves the source running",
    |lab| Box::pin(cut(lab)),
)
.within(Duration::from_mins(8));

/// A table of the test's own.
const TABLE: &str = "gwt_cut";

async fn cut(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    for step in [
        "source.Connect",
        "source.CopyFiles",
        "source.Freeze",
        "source.Dump",
    ] {
        fault::ask(lab.cluster(), "n1", &format!("{step}=hang:2"))?;
        let migration = subject.departs_within("40s").await?;
        fault::reached(lab, "n1").await.with_context(|| step.to_owned())?;
        drop_all(lab, "n1").await?;
        let status = subject.stays(&migration).await;
        mend(lab, "n1").await?;
        let status = status.with_context(|| step.to_owned())?;
        println!("        cut at {step}: {}", told(&status));
        ensure!(
            status.source.is_some_and(|report| report.step.is_some()),
            "no step is named"
        );
        before.no_more(lab).await?;
    }
    subject.moves().await.context("with the link mended")?;
    subject.end().await
}

/// Drops what the agents say to each other, and nothing else.
pub async fn drop_all(lab: &Lab, node: &str) -> Result<()> {
    let rules = format!(
        "add table inet {TABLE}
         add chain inet {TABLE} in {{ type filter hook input priority -300; }}
         add chain inet {TABLE} out {{ type filter hook output priority -300; }}
         add rule inet {TABLE} in tcp sport 9551 drop
         add rule inet {TABLE} in tcp dport 9551 drop
         add rule inet {TABLE} out tcp sport 9551 drop
         add rule inet {TABLE} out tcp dport 9551 drop"
    );
    lab.on_node(node, &["nft", &rules], Duration::from_secs(10))
        .await
        .map(drop)
}

/// Lets them hear each other again.
pub async fn mend(lab: &Lab, node: &str) -> Result<()> {
    lab.on_node(
        node,
        &["nft", &format!("delete table inet {TABLE}")],
        Duration::from_secs(10),
    )
    .await
    .map(drop)
}
