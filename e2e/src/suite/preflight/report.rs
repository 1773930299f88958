//! The report of a node: which of its pods could be moved, without a migration.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use godwit_crds::{LOOK_ANNOTATION, MigrationPhase, NodeReport, NodeReportStatus, PodVerdict, Verdict};
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::migration::told;
use crate::suite::failures::subject::{Identity, redis_container};
use crate::suite::{Behaviour, Lab, workload_container};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a node's report says of each pod whether it could be moved, as a dry run would, and touches none",
    |lab| Box::pin(run(lab)),
);

const NODE: &str = "n1";
const METRICS_PORT: u16 = 9552;
/// A look takes milliseconds for each pod; it waits for a migration that is at work on the node.
const SOON: Duration = Duration::from_secs(40);

/// Each pod's name, what is special in its metadata and spec, and the checks that refuse it.
fn cases(owner: &ConfigMap) -> Vec<(&'static str, Value, Value, &'static [&'static str])> {
    let unread = || workload_container("main", &["unread"]);
    let mut terminal = unread();
    terminal["tty"] = json!(true);
    let mut writes = redis_container();
    writes["volumeMounts"] = json!([{"name": "scratch", "mountPath": "/scratch"}]);
    let of_stranger = json!({"ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid, "controller": true},
    ]});
    let redis = || json!({"containers": [redis_container()]});
    vec![
        ("movable", json!({}), redis(), &[]),
        (
            "netlink",
            json!({}),
            json!({"containers": [unread()]}),
            &["NetlinkUnread"],
        ),
        (
            "terminal",
            json!({}),
            json!({"containers": [terminal]}),
            &["Terminal", "NetlinkUnread"],
        ),
        (
            "host-network",
            json!({}),
            json!({"hostNetwork": true, "containers": [workload_container("main", &["serve", "7123"])]}),
            &["HostNamespaces"],
        ),
        ("owned", of_stranger, redis(), &["Owner"]),
        (
            "host-path",
            json!({}),
            json!({"containers": [writes], "volumes": [{"name": "scratch", "hostPath": {"path": "/tmp"}}]}),
            &["Volumes"],
        ),
    ]
}

async fn run(lab: &Lab) -> Result<()> {
    let owner: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "owner"}}))?;
    let owner = lab
        .api::<ConfigMap>()
        .create(&PostParams::default(), &owner)
        .await?;
    let cases = cases(&owner);
    for (name, metadata, spec, _) in &cases {
        create(lab, name, metadata, spec).await?;
    }
    let mut ends = workload_container("main", &[]);
    ends["command"] = json!(["true"]);
    let ends = json!({"restartPolicy": "Never", "containers": [ends]});
    create(lab, "ended", &json!({}), &ends).await?;
    let mut before = BTreeMap::new();
    for (name, ..) in &cases {
        before.insert(*name, Identity::of(&lab.running(name).await?));
    }
    let pods = lab.pods();
    lab.until("the pod that ends to have ended", SOON, async || {
        let phase = pods.get("ended").await?.status.and_then(|status| status.phase);
        Ok((phase.as_deref() == Some("Succeeded")).then_some(()))
    })
    .await?;

    let status = asked(lab).await?;
    for (name, _, _, refused) in &cases {
        let pod = own(&status, lab, name).with_context(|| format!("{name} is not listed"))?;
        ensure!(pod.movable == refused.is_empty(), "{name}: {pod:?}");
        for check in *refused {
            let named = pod
                .checks
                .iter()
                .any(|it| it.check == *check && it.verdict == Verdict::Refuse && !it.message.is_empty());
            ensure!(named, "{name} is not refused by {check}: {pod:?}");
        }
        let others = pod
            .checks
            .iter()
            .filter(|it| it.verdict == Verdict::Refuse && !refused.contains(&it.check.as_str()));
        ensure!(others.count() == 0, "{name} is refused by more: {pod:?}");
    }
    ensure!(
        own(&status, lab, "ended").is_none(),
        "a pod that has ended is listed"
    );
    adds_up(&status)?;
    figures(lab, &status).await?;
    agrees(lab, &cases).await?;

    for (name, identity) in &before {
        let now = lab.pods().get(name).await?;
        ensure!(Identity::of(&now) == *identity, "{name} was touched");
    }
    lab.delete_pod("netlink").await?;
    let status = asked(lab).await?;
    ensure!(
        own(&status, lab, "netlink").is_none(),
        "a pod that is gone is listed"
    );
    ensure!(own(&status, lab, "movable").is_some(), "only one pod is gone");
    adds_up(&status)?;
    figures(lab, &status).await
}

async fn create(lab: &Lab, name: &str, metadata: &Value, spec: &Value) -> Result<()> {
    let mut pod = json!({"metadata": metadata, "spec": spec});
    pod["metadata"]["name"] = json!(name);
    pod["spec"]["nodeName"] = json!(NODE);
    pod["spec"]["terminationGracePeriodSeconds"] = json!(1);
    let pod: Pod = serde_json::from_value(pod)?;
    let made = lab.pods().create(&PostParams::default(), &pod).await;
    made.map(drop).with_context(|| format!("create pod {name}"))
}

/// A fresh report of the node, as a user gets one; prints what it cost the agent.
async fn asked(lab: &Lab) -> Result<NodeReportStatus> {
    let before = processor_time(lab)?;
    let status = answered(lab).await?;
    let spent = processor_time(lab)?.saturating_sub(before);
    println!(
        "        {} pods: {spent:?} of the agent's processor time",
        status.pods.len()
    );
    Ok(status)
}

/// That of the node's agent: what its threads have had (`Documentation/scheduler/sched-stats.rst`, first field of schedstat).
fn processor_time(lab: &Lab) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for pid in lab.cluster().node(NODE)?.pids_of("godwit-agent") {
        for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let text = std::fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            let ran = text.split_whitespace().next().unwrap_or_default();
            sum += Duration::from_nanos(ran.parse().unwrap_or(0));
        }
    }
    Ok(sum)
}

async fn answered(lab: &Lab) -> Result<NodeReportStatus> {
    let reports: Api<NodeReport> = Api::all(lab.client());
    let request = format!("{}", SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos());
    let annotation = json!({"metadata": {"annotations": {LOOK_ANNOTATION: request}}});
    reports
        .patch(NODE, &PatchParams::default(), &Patch::Merge(&annotation))
        .await
        .context("ask for a look")?;
    lab.until("the report of n1", SOON, async || {
        let status = reports.get(NODE).await?.status.unwrap_or_default();
        Ok((status.answered.as_ref() == Some(&request)).then_some(status))
    })
    .await
}

fn own<'a>(status: &'a NodeReportStatus, lab: &Lab, name: &str) -> Option<&'a PodVerdict> {
    let mut pods = status.pods.iter();
    pods.find(|pod| pod.namespace == lab.namespace() && pod.name == name)
}

fn adds_up(status: &NodeReportStatus) -> Result<()> {
    let summary = status.summary.context("no summary")?;
    let movable = status.pods.iter().filter(|pod| pod.movable).count();
    let counts = (summary.pods as usize, summary.movable as usize);
    ensure!(
        counts == (status.pods.len(), movable) && summary.not_movable == summary.pods - summary.movable,
        "{summary:?} is not of {} pods, {movable} movable",
        status.pods.len()
    );
    // The agent itself is a DaemonSet's.
    ensure!(summary.ignored > 0, "no pod is ignored: {summary:?}");
    Ok(())
}

/// The agent's metrics come to say the same.
async fn figures(lab: &Lab, status: &NodeReportStatus) -> Result<()> {
    let summary = status.summary.context("no summary")?;
    let wanted = [
        ("godwit_agent_node_pods", summary.pods),
        ("godwit_agent_node_pods_movable", summary.movable),
        ("godwit_agent_node_pods_unmovable", summary.not_movable),
        ("godwit_agent_node_pods_ignored", summary.ignored),
    ]
    .map(|(name, value)| format!("{name} {value}"));
    let node = Api::<Node>::all(lab.client()).get(NODE).await?;
    let addresses = node
        .status
        .and_then(|status| status.addresses)
        .unwrap_or_default();
    let address = addresses.iter().find(|it| it.type_ == "InternalIP");
    let address = address.context("the node has no address")?.address.parse()?;
    let what = format!("the agent's metrics to say {wanted:?}");
    lab.until(&what, SOON, async || {
        let text = lab
            .from_node(NODE, move || metrics(SocketAddr::new(address, METRICS_PORT)))
            .await?;
        let all = wanted.iter().all(|line| text.lines().any(|found| found == line));
        Ok(all.then_some(()))
    })
    .await
}

fn metrics(address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, SOON)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// What a dry run says of each pod is what the report says.
async fn agrees(lab: &Lab, cases: &[(&str, Value, Value, &[&str])]) -> Result<()> {
    let mut begun = Vec::new();
    for (name, _, _, refused) in cases {
        let migration = lab.migrate_with(json!({"podName": name, "dryRun": true})).await?;
        begun.push((name, refused.is_empty(), migration));
    }
    for (name, movable, migration) in begun {
        let status = migration.ended(SOON).await?.status.unwrap_or_default();
        let moves = status.phase == MigrationPhase::Succeeded;
        ensure!(
            moves == movable,
            "a dry run of {name} says otherwise: {}",
            told(&status)
        );
    }
    Ok(())
}
