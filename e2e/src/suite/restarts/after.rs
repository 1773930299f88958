//! After the commit the target runs and the source never again, whoever dies.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::migration::told;
use crate::suite::failures::agents::{agent_back, kill_operators, operator_back, renew_agent};
use crate::suite::failures::fault;
use crate::suite::failures::subject::Subject;
use crate::suite::{Behaviour, Lab};

pub(super) const SOURCE_AGENT: Behaviour = Behaviour::new(
    "after the commit the target runs although the source's agent is killed",
    |lab| Box::pin(killed(lab, &["source.AwaitRunning", "source.Carry"])),
)
.within(Duration::from_mins(6));
pub(super) const TARGET_AGENT: Behaviour = Behaviour::new(
    "after the commit the target runs although the target's agent is killed",
    |lab| {
        Box::pin(killed(
            lab,
            &["target.AwaitVerdict", "target.LetGo", "target.Carry"],
        ))
    },
)
.within(Duration::from_mins(6));
pub(super) const OPERATOR: Behaviour = Behaviour::new(
    "after the commit the target runs although the operator is killed",
    |lab| Box::pin(operator(lab)),
);

async fn killed(lab: &Lab, steps: &[&str]) -> Result<()> {
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    for step in steps {
        let node = if step.starts_with("source.") {
            subject.node.clone()
        } else {
            subject.destination()
        };
        fault::ask(lab.cluster(), &node, &format!("{step}=kill"))?;
        let migration = subject.departs().await?;
        let arrived = subject.arrives(&migration).await;
        fault::met(lab.cluster(), &node)?;
        let status = arrived.with_context(|| (*step).to_owned())?;
        println!(
            "        {step}=kill: {}; client: {}",
            told(&status),
            subject.client()
        );
        agent_back(lab, &node).await?;
        renew_agent(lab, &node).await?;
    }
    subject.moves().await.context("the next move")?;
    subject.end().await
}

async fn operator(lab: &Lab) -> Result<()> {
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    // Held up by the target just before it lets go, which is after the source's commit.
    fault::ask(lab.cluster(), "n2", "target.AwaitVerdict=hang:2")?;
    let migration = subject.departs().await?;
    fault::reached(lab, "n2").await?;
    kill_operators(lab)?;
    subject.arrives(&migration).await?;
    operator_back(lab).await?;
    subject.end().await
}
