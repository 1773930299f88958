//! Many small files and a large one with holes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::bench::memory::footprint::Footprint;
use crate::suite::{Behaviour, Lab, workload_container};
use crate::traffic::ask;

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "twenty thousand files and a sparse one of 4 GiB move, and no agent takes memory for them",
    |lab| Box::pin(run(lab)),
)
.within(Duration::from_mins(6));

const SPARSE: u64 = 4 << 30;
/// What an agent may take beside what it takes anyhow, in bytes; the files are many times that.
const BOUND: u64 = 128 << 20;

async fn run(lab: &Lab) -> Result<()> {
    let mut container = workload_container("main", &["many", "7000", "/data", "20000", &SPARSE.to_string()]);
    container["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    let spec = json!({"containers": [container], "volumes": [{"name": "data", "emptyDir": {}}]});
    let pod = lab.pod("many", Some("n1"), spec).await?;
    let before = lab
        .until("the files", Duration::from_mins(2), async || {
            Ok(ask(lab, &pod, 7000, "sum").await.ok())
        })
        .await?;
    let footprint = Footprint::watch(lab.cluster(), &["n1", "n2"]);
    let had = footprint.processes_before;
    let moved = lab.moved("many", "n2").await;
    let (processes, files) = footprint.end();
    let pod = moved?;
    let after = ask(lab, &pod, 7000, "sum").await?;
    let parts = |answer: &str| -> Result<(String, u64)> {
        let (sum, blocks) = answer.split_once(' ').with_context(|| answer.to_owned())?;
        Ok((sum.to_owned(), blocks.parse().with_context(|| answer.to_owned())?))
    };
    let ((was, _), (is, taken)) = (parts(&before)?, parts(&after)?);
    ensure!(was == is, "the content was {was} and is {is}");
    ensure!(
        taken < SPARSE / 16,
        "the holes are gone: {taken} bytes on the disk"
    );
    println!(
        "        agents and page servers {} MiB after {} MiB, files in memory {} MiB; the large file takes {} MiB",
        processes >> 20,
        had >> 20,
        files >> 20,
        taken >> 20
    );
    ensure!(
        processes.saturating_sub(had) + files < BOUND,
        "{processes} bytes of processes, which had {had} before, {files} bytes of files"
    );
    let rounds: u64 = ask(lab, &pod, 7000, "rounds")
        .await?
        .parse()
        .context("what is written again")?;
    lab.until("more rounds", Duration::from_secs(20), async || {
        let now: u64 = ask(lab, &pod, 7000, "rounds")
            .await?
            .parse()
            .context("what is written again")?;
        Ok((now > rounds).then_some(()))
    })
    .await
}
