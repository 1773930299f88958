//! Processes that are in the middle of something that cannot be dumped about half of the time.

use anyhow::{Context, Result};
use serde_json::json;

use crate::images;
use crate::suite::failures::subject::{Subject, redis_container};
use crate::suite::{Behaviour, Lab};

pub(super) const STARTING: Behaviour = Behaviour::new(
    "a pod whose shells start programs all the time moves, whatever the freeze falls into",
    // The shell of the image starts programs by `vfork`, so that one of the two is within one about half of the time.
    |lab| {
        Box::pin(run(
            lab,
            &[
                "sh",
                "-c",
                "while :; do sleep 0.001; done & while :; do sleep 0.001; done",
            ],
        ))
    },
);
pub(super) const CALLING: Behaviour = Behaviour::new(
    "a pod whose programs connect to each other all the time moves, whatever the freeze falls into",
    |lab| Box::pin(run(lab, &["workload", "calls"])),
);

const MOVES: u32 = 4;

async fn run(lab: &Lab, command: &[&str]) -> Result<()> {
    let busy = json!({
        "name": "busy", "image": images::workload::IMAGE, "imagePullPolicy": "Never", "command": command,
    });
    let pod = lab
        .pod(
            "subject",
            Some("n1"),
            json!({"containers": [redis_container(), busy]}),
        )
        .await?;
    let mut subject = Subject::of(lab, &pod, "n1").await?;
    for number in 1..=MOVES {
        subject.moves().await.with_context(|| format!("move {number}"))?;
    }
    println!("        {MOVES} moves: {}", subject.client());
    subject.end().await
}
