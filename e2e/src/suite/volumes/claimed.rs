//! A claim that both nodes can mount: its content stays where it is, and the pod goes on in it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::share::{self, Share};
use super::subject::{Writers, container};
use crate::images;
use crate::suite::failures::subject::{Identity, Subject, other, redis_container};
use crate::suite::inside::exec;
use crate::suite::refusals::refused;
use crate::suite::{Behaviour, Lab, node_of};

pub(super) const GOES_ON: Behaviour = Behaviour::new(
    "a pod goes on in the files of a claim that both nodes have mounted, beside another that writes there",
    |lab| Box::pin(share::with(lab, async |share| goes_on(lab, share).await)),
);
pub(super) const LOCKED: Behaviour = Behaviour::new(
    "a pod with a lock on a file of a shared volume stays, and moves when it is let go",
    |lab| Box::pin(share::with(lab, async |share| locked(lab, share).await)),
);
pub(super) const REFUSED: Behaviour = Behaviour::new(
    "claims that only one node can have are refused by name, and nodes that cannot have a volume",
    |lab| Box::pin(share::with(lab, async |share| refuses(lab, share).await)),
);

const MOVES: u32 = 3;

/// Lines with a number and the writer's name, to a file that others write to as well; it is open all the time.
fn appends(name: &str) -> Value {
    let script = "exec 3>>/shared/log; i=0; while :; do i=$((i+1)); echo $0 $i >&3; sleep 0.02; done";
    json!({
        "name": "appends", "image": images::workload::IMAGE, "imagePullPolicy": "Never",
        "command": ["sh", "-c", script, name],
        "volumeMounts": [{"name": "data", "mountPath": "/shared"}],
    })
}

fn claimed(claim: &str) -> Value {
    json!([{"name": "data", "persistentVolumeClaim": {"claimName": claim}}])
}

async fn goes_on(lab: &Lab, share: &mut Share<'_>) -> Result<()> {
    share.claim("both", &["ReadWriteMany"], &json!({})).await?;
    let writing = |file: &str| container("writes", 7000, &[file], &[("data", "/shared", "")]);
    let spec =
        json!({"containers": [writing("/shared/its"), appends("neighbour")], "volumes": claimed("both")});
    let neighbour = lab.pod("neighbour", Some("n3"), spec).await?;
    let before = Identity::of(&neighbour);
    let spec = json!({"containers": [writing("/shared/mine"), appends("mover")], "volumes": claimed("both")});
    let mut writers = Writers::start(lab, spec, &[7000]).await?;
    for number in 1..=MOVES {
        writers.moves().await.with_context(|| format!("move {number}"))?;
        writers
            .go_on()
            .await
            .with_context(|| format!("after move {number}"))?;
    }
    let log = exec(lab, "neighbour", &["cat", "/shared/log"]).await?;
    for name in ["neighbour", "mover"] {
        let lines = || {
            log.lines()
                .filter_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
        };
        let count = lines().count();
        ensure!(count > 50, "{name} has written {count} lines");
        let whole = lines().zip(1..).all(|(found, wanted)| found == wanted);
        ensure!(whole, "lines of {name} are missing or twice");
        println!("        {count} lines of {name}");
    }
    let after = Identity::of(&lab.pods().get("neighbour").await?);
    ensure!(before == after, "the neighbour was restarted");
    Ok(())
}

async fn locked(lab: &Lab, share: &mut Share<'_>) -> Result<()> {
    share.claim("both", &["ReadWriteMany"], &json!({})).await?;
    let locks = json!({
        "name": "locks", "image": images::workload::IMAGE, "imagePullPolicy": "Never", "command": ["/usr/bin/workload", "lock", "/shared/lock", "/tmp/let-go"],
        "volumeMounts": [{"name": "data", "mountPath": "/shared"}],
    });
    let spec = json!({"containers": [locks, redis_container()], "volumes": claimed("both")});
    let pod = lab.pod("subject", Some("n1"), spec).await?;
    let mut subject = Subject::of(lab, &pod, "n1").await?;
    let status = subject.stays(&subject.departs().await?).await?;
    ensure!(
        status.reason.as_deref() == Some("SharedFileLocked"),
        "another reason: {:?}",
        status.reason
    );
    let message = status.message.unwrap_or_default();
    ensure!(
        message.contains("container locks") && message.contains("/shared/lock"),
        "{message}"
    );
    exec(lab, &subject.name, &["touch", "/tmp/let-go"]).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    subject.moves().await?;
    subject.end().await
}

async fn refuses(lab: &Lab, share: &mut Share<'_>) -> Result<()> {
    let only = |node: &str| {
        let term = json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]});
        json!({"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}})
    };
    let cases = [
        (
            ("once", "ReadWriteOnce", json!({})),
            "VolumeUnsupported",
            vec!["data (claim once of nfs, ReadWriteOnce: one node at a time"],
        ),
        (
            ("pod", "ReadWriteOncePod", json!({})),
            "VolumeUnsupported",
            vec!["data (claim pod of nfs, ReadWriteOncePod: one node at a time"],
        ),
        (
            ("read", "ReadOnlyMany", json!({})),
            "VolumeUnsupported",
            vec![
                "data (claim read of nfs, ReadOnlyMany",
                "container writes may write",
            ],
        ),
        (
            ("here", "ReadWriteMany", only("n1")),
            "VolumeNotOnNode",
            vec!["n2", "claim here"],
        ),
    ];
    for ((name, mode, more), reason, words) in cases {
        share.claim(name, &[mode], &more).await?;
        let container = container("writes", 7000, &["/tmp/file"], &[("data", "/shared", "")]);
        let spec = json!({"containers": [container], "volumes": claimed(name)});
        let pod = lab.pod(name, Some("n1"), spec).await?;
        let before = Identity::of(&pod);
        let target = other(node_of(&pod)?, 1);
        let wanted = json!({"podName": name, "target": {"nodeName": target}});
        refused(lab, wanted, reason, &words)
            .await
            .with_context(|| format!("claim {name}"))?;
        let after = Identity::of(&lab.pods().get(name).await?);
        ensure!(before == after, "pod {name} was touched");
        lab.delete_pod(name).await?;
    }
    Ok(())
}
