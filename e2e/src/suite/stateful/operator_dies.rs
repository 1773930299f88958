//! The operator is killed between the legs, when the name is free.

use anyhow::{Context, Result};

use super::names::Names;
use super::set;
use crate::suite::failures::agents::{kill_operators, operator_back};
use crate::suite::failures::subject::{SOON, Subject};
use crate::suite::{Behaviour, Lab, node_of};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a stateful set's pod comes home although the operator is killed when its name is free, and nobody takes the name",
    |lab| Box::pin(run(lab)),
);

async fn run(lab: &Lab) -> Result<()> {
    let pod = set::start(lab, 1).await?.remove(0);
    let names = Names::begin(lab).await?;
    let mut subject = Subject::of(lab, &pod, node_of(&pod)?).await?;
    let migration = subject.departs().await?;
    lab.until("the end of the source", SOON, async || {
        let now = lab.pods().get_opt(&subject.name).await?;
        Ok((now.and_then(|now| now.metadata.uid) != pod.metadata.uid).then_some(()))
    })
    .await?;
    kill_operators(lab)?;
    operator_back(lab).await?;
    subject
        .comes_home(&migration)
        .await
        .context("with a new operator")?;
    let after = set::ready(lab, 1).await?.remove(0);
    set::is_the_same(&after, &pod)?;
    println!("        its client: {}", subject.client());
    subject.leave().await?;
    set::unguarded(lab).await?;
    names.says(1, 0)
}
