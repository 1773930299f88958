//! A migration that fails at any step before its commit leaves owner and source as they were, whoever owns the pod.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use kube::ResourceExt;

use super::census::Census;
use super::each_kind::{Owned, each_kind};
use crate::suite::failures::fault;
use crate::suite::failures::steps::{SOURCE, TARGET};
use crate::suite::failures::traces::Traces;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a failure at any step before the commit leaves a deployment, a job and a stateful set, and the pod of each, as they were",
    |lab| Box::pin(run(lab)),
)
.within(Duration::from_mins(12));

async fn run(lab: &Lab) -> Result<()> {
    let mut owned = each_kind(lab).await?;
    let census = Census::begin(lab).await?;
    for (side, steps) in [("source", &SOURCE[..]), ("target", &TARGET[..])] {
        for step in steps {
            let step = format!("{side}.{step}");
            fail(lab, &owned, &step).await.with_context(|| step.clone())?;
            println!("        {step}: all as before");
        }
    }
    census.says(owned.len(), 0)?;
    try_join_all(owned.iter_mut().map(Owned::moves))
        .await
        .context("after all the failures")?;
    for owned in owned {
        // An owner would make another pod in place of a deleted one.
        owned.subject.leave().await?;
    }
    Ok(())
}

/// Every pod goes to the next node at once, so that each node is the source of one and the target of another.
async fn fail(lab: &Lab, owned: &[Owned<'_>], step: &str) -> Result<()> {
    let nodes: Vec<&str> = owned.iter().map(|owned| owned.subject.node.as_str()).collect();
    let before = Traces::now(lab).await?;
    for node in &nodes {
        fault::ask(lab.cluster(), node, &format!("{step}=fail"))?;
    }
    let failed = try_join_all(owned.iter().map(Owned::stays)).await;
    let met: Result<Vec<()>> = nodes.iter().map(|node| fault::met(lab.cluster(), node)).collect();
    let failed = failed?;
    met?;
    for (owned, status) in owned.iter().zip(failed) {
        let found = status.reason.as_deref();
        let name = owned.subject.pod().await?.name_any();
        ensure!(
            found == Some("InjectedFault"),
            "{name}: another reason: {found:?}"
        );
        owned.is_as_before().await.with_context(|| name)?;
    }
    before.no_more(lab).await
}
