//! A bare pod moves with its connection.

use anyhow::Result;

use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new("a bare redis pod moves", |lab| Box::pin(run(lab)));

async fn run(lab: &Lab) -> Result<()> {
    lab.redis("redis", "n1").await?;
    lab.moved("redis", "n2").await?;
    Ok(())
}
