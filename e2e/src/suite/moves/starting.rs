//! Processes that start others all the time.

use anyhow::{Context, Result};
use serde_json::json;

use crate::images;
use crate::suite::failures::subject::{Subject, redis_container};
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a pod whose shells start programs all the time moves, whatever the freeze falls into",
    |lab| Box::pin(run(lab)),
);

const MOVES: u32 = 4;
/// The shell of the image starts programs by `vfork`, so that one of the two is within one about half of the time.
const SCRIPT: &str = "while :; do sleep 0.001; done & while :; do sleep 0.001; done";

async fn run(lab: &Lab) -> Result<()> {
    let starts = json!({
        "name": "starts", "image": images::workload::IMAGE, "imagePullPolicy": "Never", "command": ["sh", "-c", SCRIPT],
    });
    let pod = lab
        .pod(
            "subject",
            Some("n1"),
            json!({"containers": [redis_container(), starts]}),
        )
        .await?;
    let mut subject = Subject::of(lab, &pod, "n1").await?;
    for number in 1..=MOVES {
        subject.moves().await.with_context(|| format!("move {number}"))?;
    }
    println!("        {MOVES} moves: {}", subject.client());
    subject.end().await
}
