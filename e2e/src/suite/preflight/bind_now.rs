//! The chart's `bindNow.enabled`: pods that ask for it by label can move more often.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{EnvVar, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::migration::Migration;
use crate::suite::failures::subject::redis_container;
use crate::suite::lab::workload_container;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a pod that asks for it by label binds at its start, no other does, and a migration changes neither",
    |lab| Box::pin(run(lab)),
);

const LABEL: &str = "godwit.dev/bind-now";

async fn run(lab: &Lab) -> Result<()> {
    let set = env_of(&made(lab, json!({LABEL: "true"})).await?)?;
    let plain = |name: &str, value: &str| json!({"name": name, "value": value});
    let both = [plain("LD_BIND_NOW", "1"), plain("GODEBUG", "multipathtcp=0")];
    let wanted = [
        ("sidecar", json!(both)),
        ("plain", json!(both)),
        (
            "own",
            json!([
                plain("GODEBUG", "netdns=go,multipathtcp=0"),
                plain("LD_BIND_NOW", "")
            ]),
        ),
        (
            "kept",
            json!([plain("GODEBUG", "multipathtcp=1"), plain("OTHER", "x"), both[0]]),
        ),
    ];
    for (name, wanted) in wanted {
        let found = set
            .iter()
            .find(|it| it.0 == name)
            .context("a container is gone")?;
        ensure!(same(&found.1, &wanted)?, "container {name}: {:?}", found.1);
    }
    for labels in [json!({}), json!({LABEL: "false"})] {
        let found = env_of(&made(lab, labels.clone()).await?)?;
        ensure!(
            found
                .iter()
                .flat_map(|it| &it.1)
                .all(|it| it.name != "LD_BIND_NOW" || it.value.as_deref() != Some("1")),
            "with labels {labels}: {found:?}"
        );
    }

    // The label comes later, so that the policy would change a pod that is made anew.
    let spec = json!({"containers": [redis_container()]});
    lab.pod("subject", Some("n1"), spec).await?;
    let labels = json!({"metadata": {"labels": {LABEL: "true"}}});
    let labelled = lab
        .pods()
        .patch("subject", &PatchParams::default(), &Patch::Merge(labels))
        .await?;
    let done = lab.migrate("subject", "n2").await?.succeeded().await?;
    let target = lab.pods().get(&Migration::target_name(&done)?).await?;
    let (before, after) = (env_of(&labelled)?, env_of(&target)?);
    ensure!(before.last() == after.last(), "{before:?} became {after:?}");
    Ok(())
}

/// A pod as the API server would make it.
async fn made(lab: &Lab, labels: Value) -> Result<Pod> {
    let mut containers = ["sidecar", "plain", "own", "kept"].map(|name| workload_container(name, &["serve"]));
    containers[0]["restartPolicy"] = json!("Always");
    containers[2]["env"] = json!([{"name": "GODEBUG", "value": "netdns=go"}, {"name": "LD_BIND_NOW"}]);
    containers[3]["env"] =
        json!([{"name": "GODEBUG", "value": "multipathtcp=1"}, {"name": "OTHER", "value": "x"}]);
    let pod = serde_json::from_value(json!({
        "metadata": {"name": "asked", "labels": labels},
        "spec": {"initContainers": [containers[0]], "containers": containers[1..]},
    }))?;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    lab.pods().create(&dry, &pod).await.context("create a pod")
}

/// Of each container: its name and its variables.
fn env_of(pod: &Pod) -> Result<Vec<(String, Vec<EnvVar>)>> {
    let spec = pod.spec.as_ref().context("a pod without a spec")?;
    let all = spec.init_containers.iter().flatten().chain(&spec.containers);
    Ok(all
        .map(|it| (it.name.clone(), it.env.clone().unwrap_or_default()))
        .collect())
}

/// Whether these are the same variables, in any order; one without a value is one with an empty value.
fn same(found: &[EnvVar], wanted: &Value) -> Result<bool> {
    let wanted: Vec<EnvVar> = serde_json::from_value(wanted.clone())?;
    let sorted = |all: &[EnvVar]| {
        let mut all: Vec<(String, String)> = all
            .iter()
            .map(|it| (it.name.clone(), it.value.clone().unwrap_or_default()))
            .collect();
        all.sort();
        all
    };
    Ok(sorted(found) == sorted(&wanted))
}
