//! What is on the nodes: taken before and after, it must be the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;

use crate::suite::Lab;

/// How long what is cleaned up in the background may take.
const PATIENCE: Duration = Duration::from_secs(90);
const LIMIT: Duration = Duration::from_secs(20);

/// Each look gives lines; what names ordinary things that come and go by themselves is taken out. kubelet, containerd and kube-proxy are not
/// under test: kube-proxy's chains and interface indexes are left out.
const LOOKS: [(&str, &str); 9] = [
    ("rules", "ip rule; ip -6 rule"),
    (
        "routes",
        "ip route show table all | grep -v 'linkdown' ; ip -6 route show table all | grep -v 'fe80\\|multicast'",
    ),
    (
        "addresses",
        "ip -o address | grep -v 'inet6 fe80' | awk '{print $2, $3, $4}'",
    ),
    (
        "neighbours",
        "ip neighbour show proxy; ip -6 neighbour show proxy",
    ),
    (
        "filters",
        "{ nft list ruleset; iptables-save; ip6tables-save; } 2>/dev/null | grep -i 'godwit\\|nfqueue\\|queue\\|gwt'",
    ),
    ("control groups", "find /sys/fs/cgroup -type d 2>/dev/null"),
    (
        "files",
        "find /run/godwit /var/lib/godwit 2>/dev/null | grep -v '\\.tmp$'",
    ),
    (
        "mounts",
        "awk '{print $5}' /proc/1/mountinfo; cat /proc/$(pidof containerd)/mountinfo | awk '{print $5}'",
    ),
    (
        "processes",
        "ps -e -o args= 2>/dev/null | grep 'criu\\|runc\\|godwit\\|containerd-shim' | grep -v 'grep\\|sh -c' | awk '{print $1}' | sort | uniq -c",
    ),
];

/// Lines by node and look.
pub type Snapshot = BTreeMap<String, BTreeSet<String>>;

/// Look at every node. What belongs to pods that are there is left out: it is no remainder.
pub async fn take(lab: &Lab) -> Result<Snapshot> {
    let pods: Api<Pod> = Api::all(lab.client());
    let alive: Vec<String> = pods
        .list(&ListParams::default())
        .await?
        .into_iter()
        .filter_map(|pod| pod.metadata.uid)
        .collect();
    let mut found = Snapshot::new();
    let nodes: Vec<String> = lab.cluster().nodes().map(|node| node.name().to_owned()).collect();
    for node in nodes {
        for (what, script) in LOOKS {
            // A look that finds nothing ends with an error of grep; what it wrote is what counts.
            let script = format!("{{ {script}; }} ; true");
            let text = lab.on_node(&node, &["bash", "-c", &script], LIMIT).await?;
            let lines = text
                .lines()
                .filter(|line| !alive.iter().any(|uid| line.contains(uid.as_str())))
                .map(|line| line.trim().to_owned())
                .collect();
            found.insert(format!("{what} of {node}"), lines);
        }
    }
    Ok(found)
}

/// Wait until everything is as it was. Fails with the lines that are new or gone.
pub async fn again(lab: &Lab, before: &Snapshot) -> Result<()> {
    let mut difference = String::new();
    let same = lab
        .until("the nodes to be as before", PATIENCE, async || {
            difference = differences(before, &take(lab).await?);
            Ok(difference.is_empty().then_some(()))
        })
        .await;
    match same {
        Ok(()) => Ok(()),
        Err(error) => bail!("{error:#}:{difference}"),
    }
}

fn differences(before: &Snapshot, after: &Snapshot) -> String {
    let mut text = String::new();
    for (what, was) in before {
        let nothing = BTreeSet::new();
        let is = after.get(what).unwrap_or(&nothing);
        for line in is.difference(was) {
            let _ = write!(text, "\n    new among {what}: {line}");
        }
        // What an earlier behaviour left to be cleaned up may go meanwhile; what the node's own network is must not.
        let must_stay = ["rules", "routes", "addresses"]
            .iter()
            .any(|look| what.starts_with(look));
        for line in was.difference(is).filter(|_| must_stay) {
            let _ = write!(text, "\n    gone from {what}: {line}");
        }
    }
    text
}
