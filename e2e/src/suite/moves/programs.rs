//! Programs that check themselves move, and find all that they had.

use anyhow::{Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::suite::{Behaviour, Lab, workload_container};
use crate::traffic::ask;

pub(super) const ZOO: Behaviour = Behaviour::new(
    "processes, threads, pipes, sockets, open and unlinked files, timers, pending signals and the host name move",
    |lab| Box::pin(there_and_back(lab, "zoo", json!({}))),
);
pub(super) const ZOO_OF_A_USER: Behaviour = Behaviour::new("processes of user 1000 move", |lab| {
    Box::pin(there_and_back(
        lab,
        "zoo",
        json!({"runAsUser": 1000, "runAsGroup": 1000}),
    ))
});
pub(super) const SHARED_MEMORY: Behaviour = Behaviour::new(
    "SysV and POSIX shared memory, semaphores and message queues of a container move",
    |lab| Box::pin(there_and_back(lab, "shm", json!({}))),
);

const PORT: u16 = 7000;

async fn there_and_back(lab: &Lab, program: &str, security: serde_json::Value) -> Result<()> {
    let mut container = workload_container("main", &[program, "7000"]);
    container["securityContext"] = security;
    let mut pod = lab
        .pod("subject", Some("n1"), json!({"containers": [container]}))
        .await?;
    fine(lab, &pod).await?;
    for node in ["n2", "n1"] {
        let name = pod.metadata.name.clone().unwrap_or_default();
        pod = lab.moved(&name, node).await?;
        fine(lab, &pod).await?;
    }
    Ok(())
}

/// Every check of the program has passed some more rounds since this was called.
pub(in crate::suite) async fn fine(lab: &Lab, pod: &Pod) -> Result<()> {
    let first = rounds(&patiently(lab, pod).await?)?;
    ensure!(!first.is_empty(), "the program checks nothing");
    let patience = std::time::Duration::from_secs(45);
    let mut last = first.clone();
    let more = lab
        .until("more rounds of every check", patience, async || {
            last = rounds(&ask(lab, pod, PORT, "state").await?)?;
            let all = first.iter().all(|(name, before)| {
                last.iter()
                    .any(|(other, now)| other == name && *now >= before + 5)
            });
            Ok(all.then_some(()))
        })
        .await;
    more.map_err(|error| {
        let stuck: Vec<String> = first
            .iter()
            .filter(|(name, before)| {
                !last
                    .iter()
                    .any(|(other, now)| other == name && *now >= before + 5)
            })
            .map(|(name, _)| name.clone())
            .collect();
        error.context(format!("these do not go on: {}", stuck.join(", ")))
    })
}

/// The first answer, as soon as the program listens.
async fn patiently(lab: &Lab, pod: &Pod) -> Result<String> {
    let patience = std::time::Duration::from_secs(20);
    lab.until("an answer of the program", patience, async || {
        Ok(ask(lab, pod, PORT, "state").await.ok())
    })
    .await
}

fn rounds(text: &str) -> Result<Vec<(String, u64)>> {
    let Some(found) = text.strip_prefix("ok ") else {
        bail!("the program says: {text}")
    };
    // Names have spaces in them: a number ends each.
    let mut all = Vec::new();
    let mut name = String::new();
    for word in found.split(' ') {
        if let Some((end, number)) = word.split_once('=') {
            all.push((format!("{name}{end}"), number.parse()?));
            name.clear();
        } else {
            name.push_str(word);
            name.push(' ');
        }
    }
    Ok(all)
}
