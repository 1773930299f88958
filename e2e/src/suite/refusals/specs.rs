//! What the API server itself refuses.

use anyhow::{Result, bail, ensure};
use godwit_crds::PodMigration;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::migration::PATIENCE;
use crate::suite::{Behaviour, Lab};

pub(super) const BAD: Behaviour =
    Behaviour::new("a spec that makes no sense is refused by the API server", |lab| {
        Box::pin(bad(lab))
    });
pub(super) const CHANGED: Behaviour = Behaviour::new("a spec cannot be changed but for cancel", |lab| {
    Box::pin(changed(lab))
});

async fn bad(lab: &Lab) -> Result<()> {
    let cases: [(Value, &str); 22] = [
        // No risk, but an impossibility.
        (json!({"podName": "p", "accept": ["Volumes"]}), "spec.accept"),
        (json!({"podName": "p", "accept": ["Nonsense"]}), "spec.accept"),
        (
            json!({"podName": "p", "target": {"nodeName": "n2", "nodeSelector": {"disk": "ssd"}}}),
            "exactly one of nodeName and nodeSelector",
        ),
        (
            json!({"podName": "p", "target": {}}),
            "exactly one of nodeName and nodeSelector",
        ),
        (
            json!({"podName": "p", "timeout": "0s"}),
            "timeout must be above zero",
        ),
        (json!({"podName": "p", "timeout": "soon"}), "spec.timeout"),
        (json!({"podName": "p", "timeout": "-5s"}), "spec.timeout"),
        (json!({"podName": ""}), "spec.podName"),
        (json!({"podName": "../p"}), "spec.podName"),
        (json!({}), "podName"),
        (
            json!({"podName": "p", "target": {"nodeSelector": {}}}),
            "nodeSelector",
        ),
        (json!({"podName": "p", "memory": "PostCopy"}), "spec.memory"),
        (
            json!({"podName": "p", "freezeBudget": "0s"}),
            "freezeBudget must be above zero",
        ),
        (
            json!({"podName": "p", "freezeBudget": "soon"}),
            "spec.freezeBudget",
        ),
        (json!({"podName": "p", "bandwidth": "fast"}), "spec.bandwidth"),
        // Thousandths of a byte: somebody meant megabits.
        (json!({"podName": "p", "bandwidth": "100m"}), "spec.bandwidth"),
        (json!({"podName": "p", "bandwidth": 999}), "between 1k and 1P"),
        (json!({"podName": "p", "bandwidth": "2P"}), "between 1k and 1P"),
        (
            json!({"podName": "p", "restartContainers": []}),
            "spec.restartContainers",
        ),
        (
            json!({"podName": "p", "restartContainers": ["a", "a"]}),
            "spec.restartContainers",
        ),
        (
            json!({"podName": "p", "restartContainers": ["A_b"]}),
            "spec.restartContainers",
        ),
        (
            json!({"podName": "p", "memory": "StopAndCopy", "autoConverge": true}),
            "autoConverge has nothing to do",
        ),
    ];
    for (spec, words) in cases {
        refused(create(lab, &spec).await.map(drop), words)?;
    }
    Ok(())
}

async fn changed(lab: &Lab) -> Result<()> {
    let made = create(
        lab,
        &json!({"podName": "nobody", "target": {"nodeName": "n2"}, "timeout": "20s", "bandwidth": 5_000_000}),
    )
    .await?;
    let name = made.metadata.name.unwrap_or_default();
    crate::migration::Migration::existing(&lab.client(), lab.namespace(), &name)
        .ended(PATIENCE)
        .await?;
    let migrations = lab.api::<PodMigration>();
    let change = async |spec: Value| {
        let patch = Patch::Merge(json!({"spec": spec}));
        migrations.patch(&name, &PatchParams::default(), &patch).await
    };
    for (spec, words) in [
        (json!({"podName": "another"}), "podName is immutable"),
        (json!({"target": {"nodeName": "n3"}}), "target is immutable"),
        (json!({"target": null}), "target is immutable"),
        (json!({"timeout": "30s"}), "timeout is immutable"),
        (json!({"memory": "PreCopy"}), "memory is immutable"),
        (json!({"freezeBudget": "1s"}), "freezeBudget is immutable"),
        (json!({"bandwidth": "5G"}), "bandwidth is immutable"),
        (json!({"bandwidth": null}), "bandwidth is immutable"),
        (json!({"autoConverge": true}), "autoConverge is immutable"),
        (json!({"dryRun": true}), "dryRun is immutable"),
        (json!({"accept": ["PostStartHook"]}), "accept is immutable"),
        (
            json!({"restartContainers": ["proxy"]}),
            "restartContainers is immutable",
        ),
    ] {
        refused(change(spec).await.map(drop), words)?;
    }
    let cancelled = change(json!({"cancel": true})).await?;
    ensure!(cancelled.spec.cancel, "cancel was not set");
    refused(
        change(json!({"cancel": false})).await.map(drop),
        "cancel cannot be taken back",
    )
}

/// Without our types, which would not let some of these through.
async fn create(lab: &Lab, spec: &Value) -> Result<DynamicObject, kube::Error> {
    let kind = ApiResource::erase::<PodMigration>(&());
    let object = serde_json::from_value(json!({
        "apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"generateName": "bad-"}, "spec": spec,
    }))
    .map_err(kube::Error::SerdeError)?;
    let api: Api<DynamicObject> = Api::namespaced_with(lab.client(), lab.namespace(), &kind);
    api.create(&PostParams::default(), &object).await
}

fn refused(result: Result<(), kube::Error>, words: &str) -> Result<()> {
    match result {
        Err(kube::Error::Api(status)) if status.message.contains(words) => Ok(()),
        Err(error) => bail!("refused, but not with `{words}`: {error}"),
        Ok(()) => bail!("the API server took what it should refuse with `{words}`"),
    }
}
