//! Every pod of a set moves, one after the other.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use godwit_crds::Leg;

use super::names::Names;
use super::set;
use crate::suite::failures::subject::Subject;
use crate::suite::inside::exec;
use crate::suite::{Behaviour, Lab, node_of};
use crate::traffic::Redis;

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "each pod of a stateful set moves with its name, its data and its client, and nobody else makes a pod",
    |lab| Box::pin(run(lab)),
)
.within(Duration::from_mins(5));

async fn run(lab: &Lab) -> Result<()> {
    let pods = set::start(lab, 3).await?;
    set::known_by_name(lab, &pods).await?;
    let names = Names::begin(lab).await?;
    for pod in &pods {
        let mut subject = Subject::of(lab, pod, node_of(pod)?).await?;
        let data = Redis::fill(lab, pod, 8).await?;
        let sum = data.sum(lab, pod).await?;
        let (name, to) = (subject.name.clone(), subject.destination());
        let migration = subject.departs().await?;
        let status = subject
            .comes_home(&migration)
            .await
            .with_context(|| name.clone())?;
        let after = set::ready(lab, 3).await?;
        set::known_by_name(lab, &after).await?;
        let after = after
            .into_iter()
            .find(|after| after.metadata.name == pod.metadata.name)
            .context("the pod is gone")?;
        ensure!(
            node_of(&after)? == to,
            "{name} is on {} and not on {to}",
            node_of(&after)?
        );
        set::is_the_same(&after, pod)?;
        ensure!(data.sum(lab, &after).await? == sum, "{name} has other data");
        let hostname = exec(lab, &name, &["hostname"]).await?;
        ensure!(hostname.trim() == name, "its host name is {hostname}");
        let legs: Vec<Leg> = status.legs.iter().map(|leg| leg.leg).collect();
        ensure!(legs == [Leg::Away, Leg::Home], "{:?}", status.legs);
        let freezes: Vec<&str> = status
            .legs
            .iter()
            .filter_map(|leg| Some(leg.freeze.as_ref()?.total.as_str()))
            .collect();
        println!(
            "        {name}: frozen {freezes:?}; its client: {}",
            subject.client()
        );
        subject.leave().await?;
    }
    set::unguarded(lab).await?;
    // Between stand-in and pod nothing of a workload is Ready for a moment; of the others everything is.
    names.says(3, 2)
}
