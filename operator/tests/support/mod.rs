//! Objects as the API server would give them, for tests of the pure parts.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::sync::Arc;

use godwit_crds::{
    MIGRATION_FINALIZER, PodMigration, PodMigrationSpec, SourceReport, SourceState, TargetReport, TargetSpec,
    TargetState,
};
use godwit_operator::facts::Observed;
use godwit_operator::known_node::KnownNode;
use godwit_operator::relay::{Relay, Role};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

pub const SOURCE: &str = "redis-0";
/// What every node's agent says of it.
pub const FACTS: &str = r#"{"cpu": "x86_64;avx2,sse2;xsave.size=832", "pageSize": 4096, "criu": {"version": "4.2", "features": {"uffd-noncoop": true}}}"#;

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub fn pod(change: impl FnOnce(&mut Value)) -> Pod {
    let mut pod = json!({
        "metadata": {
            "name": SOURCE, "namespace": "shop", "uid": "source-uid", "resourceVersion": "7",
            "creationTimestamp": at(0).to_string(), "labels": {"app": "redis"},
            "annotations": {"team": "a", "cni.projectcalico.org/podIP": "10.0.1.5/32"}
        },
        "spec": {
            "nodeName": "n1",
            "serviceAccountName": "default", "serviceAccount": "default",
            "priority": 0, "preemptionPolicy": "PreemptLowerPriority",
            "containers": [{
                "name": "redis", "image": "redis:8", "imagePullPolicy": "Always",
                "resources": {"requests": {"cpu": "100m"}},
                "volumeMounts": [
                    {"name": "kube-api-access-x2x4b", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true},
                    {"name": "conf", "mountPath": "/etc/redis"}
                ]
            }],
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "spot", "operator": "Exists"}
            ],
            "volumes": [
                {"name": "kube-api-access-x2x4b", "projected": {"sources": []}},
                {"name": "conf", "configMap": {"name": "redis"}}
            ]
        },
        "status": {
            "phase": "Running", "podIP": "10.0.1.5", "podIPs": [{"ip": "10.0.1.5"}],
            "containerStatuses": [{
                "name": "redis", "image": "redis:8", "imageID": "x", "ready": true, "restartCount": 0,
                "state": {"running": {"startedAt": at(0).to_string()}}
            }]
        }
    });
    change(&mut pod);
    serde_json::from_value(pod).unwrap()
}

pub fn plain_pod() -> Pod {
    pod(|_| {})
}

pub fn node(name: &str, change: impl FnOnce(&mut Value)) -> Arc<KnownNode> {
    let mut node = json!({
        "metadata": {
            "name": name, "labels": {"godwit.dev/agent-ready": "true", "godwit.dev/cpu-class": "rich", "zone": name},
            "annotations": {"godwit.dev/node-facts": FACTS},
        },
        "spec": {},
        "status": {
            "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": "192.0.2.1"}],
            "conditions": [{"type": "Ready", "status": "True"}]
        }
    });
    change(&mut node);
    KnownNode::shared(serde_json::from_value(node).unwrap())
}

pub fn migration(target: Option<TargetSpec>) -> PodMigration {
    let spec = PodMigrationSpec {
        pod_name: SOURCE.to_owned(),
        target,
        ..PodMigrationSpec::default()
    };
    let mut migration = PodMigration::new("move", spec);
    migration.metadata.namespace = Some("shop".to_owned());
    migration.metadata.uid = Some("migration-uid".to_owned());
    migration.metadata.creation_timestamp = Some(at(0).into());
    migration.metadata.finalizers = Some(vec![MIGRATION_FINALIZER.to_owned()]);
    migration
}

#[allow(clippy::unnecessary_wraps, reason = "it is what the spec holds")]
pub fn to_node(name: &str) -> Option<TargetSpec> {
    Some(TargetSpec {
        node_name: Some(name.to_owned()),
        node_selector: None,
    })
}

/// A migration of a plain pod from n1 to n2 at whose pod the source's agent has looked, about to be checked.
pub fn observed() -> Observed {
    let mut observed = unasked();
    let status = observed.migration.status.as_mut().unwrap();
    status.plan = Some(
        serde_json::from_value(json!({
            "sourcePodUid": "source-uid", "sourceNode": "n1", "sourceAddress": "192.0.2.1",
            "targetPodName": "redis-0-x", "deadline": at(604).to_string(),
        }))
        .unwrap(),
    );
    status.conditions = serde_json::from_value(json!([{
        "type": "PreflightPassed", "status": "Unknown", "reason": "AgentAsked", "message": "m", "lastTransitionTime": at(4).to_string(),
    }])).unwrap();
    status.source = Some(source_says(SourceState::Looked));
    observed
}

/// The same before the source's agent has been asked.
pub fn unasked() -> Observed {
    let mut migration = migration(to_node("n2"));
    migration.status = Some(serde_json::from_value(json!({"phase": "Preflight", "transitions": [{"phase": "Preflight", "at": "2027-01-15T08:00:00.000000Z"}]})).unwrap());
    Observed {
        migration,
        source: Some(plain_pod()),
        target: None,
        nodes: vec![node("n1", |_| {}), node("n2", |_| {})],
        others: Vec::new(),
        maker: None,
        target_refusal: None,
        owner: None,
        claims: Vec::new(),
        role: Role::Whole,
        relay: Relay::default(),
    }
}

/// Whether there is such a pod, which nobody has deleted.
pub fn stays(pod: Option<&Pod>) -> bool {
    pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_none())
}

pub fn source_says(state: SourceState) -> SourceReport {
    SourceReport {
        state,
        step: (state != SourceState::Looked).then(|| "Dump".to_owned()),
        reason: (state == SourceState::RolledBack).then(|| "DumpFailed".to_owned()),
        message: (state == SourceState::RolledBack).then(|| "Error (criu/sk-inet.c:1): no".to_owned()),
        preflight: if state == SourceState::Looked {
            let engine = json!([{"check": "Engine", "verdict": "Pass"}]);
            serde_json::from_value(engine).unwrap()
        } else {
            Vec::new()
        },
        ..SourceReport::default()
    }
}

pub fn target_says(state: TargetState) -> TargetReport {
    TargetReport {
        state,
        ..TargetReport::default()
    }
}
