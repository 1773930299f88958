//! A bare pod moves with its connection.

use anyhow::{Result, ensure};

use crate::suite::{Behaviour, Lab, address_of};
use crate::traffic::{Load, Redis};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a bare redis pod moves with its connection, its data and its address",
    |lab| Box::pin(run(lab)),
);

async fn run(lab: &Lab) -> Result<()> {
    let redis = lab.redis("redis", "n1").await?;
    let data = Redis::fill(lab, &redis, 16).await?;
    let before = data.sum(lab, &redis).await?;
    let targets = [("direct".to_owned(), format!("{}:6379", address_of(&redis)?))];
    let load = Load::start(lab, "client", "n3", &targets).await?;
    let target = lab.moved("redis", "n2").await?;
    load.progress(lab).await?;
    for connection in load.stop(lab).await? {
        connection.is_whole()?;
    }
    let after = data.sum(lab, &target).await?;
    ensure!(before == after, "the data was {before} and is {after}");
    Ok(())
}
