//! Every check refuses what it is for, by its reason, with a message that says what to change; and only that.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which may")]

mod support;

use godwit_crds::checks;
use godwit_crds::{MemoryMode, MigrationPhase, TargetSpec, Verdict};
use godwit_operator::claim::Claim;
use godwit_operator::decide::decide;
use godwit_operator::facts::Observed;
use godwit_operator::owner::Owner;
use godwit_operator::preflight;
use serde_json::{Value, json};
use support::{at, migration, node, observed, pod, to_node};

/// Exactly one check refuses, with this reason.
fn assert_refused(observed: &Observed, reason: &str) {
    let checks = preflight::run(observed);
    let refusals: Vec<_> = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Refuse)
        .collect();
    assert_eq!(
        refusals.iter().map(|check| check.reason).collect::<Vec<_>>(),
        [reason]
    );
    assert!(!refusals[0].message.is_empty());
    let listed = checks::find(refusals[0].name).unwrap();
    assert!(
        listed.refuses.contains(reason),
        "the documentation of {} lacks {reason}",
        listed.name
    );
    assert_eq!(refusals[0].message.contains("spec.accept"), listed.acceptable);
    let decision = decide(observed, at(5));
    assert_eq!(decision.status.phase, MigrationPhase::Failed);
    assert_eq!(decision.status.reason.as_deref(), Some(reason));
    assert!(
        decision
            .status
            .preflight
            .iter()
            .any(|check| check.verdict == Verdict::Refuse)
    );
}

fn set(path: &'static str, value: Value) -> impl FnOnce(&mut Value) {
    move |object| {
        let (parent, key) = path.rsplit_once('/').unwrap();
        let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("{path}"));
        parent.as_object_mut().unwrap().insert(key.to_owned(), value);
    }
}

#[test]
fn a_plain_pod_passes() {
    let checks = preflight::run(&observed());
    let refused: Vec<_> = checks
        .iter()
        .filter(|check| check.verdict != Verdict::Pass)
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
    let decision = decide(&observed(), at(5));
    assert_eq!(decision.status.phase, MigrationPhase::Preparing);
}

#[test]
fn a_missing_pod_is_the_only_finding() {
    let observed = Observed {
        source: None,
        ..observed()
    };
    assert_refused(&observed, "PodNotFound");
    assert_eq!(preflight::run(&observed).len(), 1);
}

#[test]
fn pods_that_cannot_move_are_refused_by_name() {
    let hook = json!({"postStart": {"exec": {"command": ["true"]}}});
    let cases: [(&str, Value, &str); 24] = [
        ("/status/phase", json!("Pending"), "PodNotRunning"),
        ("/status/phase", json!("Succeeded"), "PodNotRunning"),
        ("/status/containerStatuses", json!([]), "PodNotRunning"),
        (
            "/metadata/deletionTimestamp",
            json!(at(1).to_string()),
            "PodNotRunning",
        ),
        (
            "/metadata/ownerReferences",
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u"}]),
            "OwnerUnsupported",
        ),
        (
            "/metadata/annotations",
            json!({"kubernetes.io/config.mirror": "x"}),
            "MirrorPodUnsupported",
        ),
        (
            "/metadata/labels",
            json!({"godwit.dev/migration": "other"}),
            "TargetOfAnotherMigration",
        ),
        ("/spec/hostNetwork", json!(true), "HostNamespacesUnsupported"),
        ("/spec/hostPID", json!(true), "HostNamespacesUnsupported"),
        ("/spec/hostIPC", json!(true), "HostNamespacesUnsupported"),
        ("/spec/hostUsers", json!(false), "UserNamespacesUnsupported"),
        (
            "/spec/shareProcessNamespace",
            json!(true),
            "ShareProcessNamespaceUnsupported",
        ),
        (
            "/spec/runtimeClassName",
            json!("gvisor"),
            "RuntimeClassUnsupported",
        ),
        (
            "/spec/os",
            json!({"name": "windows"}),
            "OperatingSystemUnsupported",
        ),
        (
            "/spec/initContainers",
            json!([{"name": "proxy", "image": "x", "restartPolicy": "Always"}]),
            "PodNotRunning",
        ),
        ("/spec/containers/0/tty", json!(true), "TerminalUnsupported"),
        ("/spec/containers/0/stdin", json!(true), "TerminalUnsupported"),
        ("/spec/containers/0/lifecycle", hook, "PostStartHookUnsupported"),
        (
            "/spec/containers/0/ports",
            json!([{"containerPort": 80, "hostPort": 80}]),
            "HostPortsUnsupported",
        ),
        (
            "/spec/containers/0/resources",
            json!({"limits": {"nvidia.com/gpu": "1"}}),
            "DevicesUnsupported",
        ),
        (
            "/spec/resourceClaims",
            json!([{"name": "gpu"}]),
            "DevicesUnsupported",
        ),
        ("/metadata/name", json!("redis.shop"), "HostnameUnsupported"),
        (
            "/spec/volumes",
            json!([{"name": "data", "persistentVolumeClaim": {"claimName": "d"}}]),
            "VolumeUnsupported",
        ),
        (
            "/status/podIPs",
            json!([{"ip": "10.0.1.5"}, {"ip": "2001:db8::1"}]),
            "AddressFamilyUnsupported",
        ),
    ];
    for (path, value, reason) in cases {
        let mut observed = observed();
        observed.source = Some(pod(set(path, value)));
        assert_refused(&observed, reason);
    }
}

#[test]
fn a_refused_volume_is_named_with_its_kind() {
    let mut observed = observed();
    observed.source = Some(pod(set(
        "/spec/volumes",
        json!([{"name": "cache", "image": {"reference": "x"}}, {"name": "logs", "hostPath": {"path": "/x", "type": "Socket"}}]),
    )));
    let message = decide(&observed, at(5)).status.message.unwrap();
    assert!(message.contains("cache (image), logs (hostPath)"), "{message}");
}

#[test]
fn a_pod_that_has_been_migrated_before_may_move_again() {
    let mut observed = observed();
    observed.source = Some(pod(|pod| {
        pod["metadata"]["labels"]["godwit.dev/migration"] = json!("first");
        pod["metadata"]["annotations"]["godwit.dev/completed"] = json!("true");
        pod["spec"]["runtimeClassName"] = json!("godwit");
    }));
    assert_eq!(decide(&observed, at(5)).status.phase, MigrationPhase::Preparing);
}

#[test]
fn a_destination_that_cannot_be_used_is_refused() {
    let n2 = |change: fn(&mut Value)| Observed {
        nodes: vec![node("n1", |_| {}), node("n2", change)],
        ..observed()
    };
    let without_agent = |node: &mut Value| node["metadata"]["labels"] = json!({});
    let not_ready =
        |node: &mut Value| node["status"]["conditions"] = json!([{"type": "Ready", "status": "Unknown"}]);
    let cordoned = |node: &mut Value| node["spec"]["unschedulable"] = json!(true);
    assert_refused(&n2(without_agent), "TargetNodeWithoutAgent");
    assert_refused(&n2(not_ready), "TargetNodeNotReady");
    assert_refused(&n2(cordoned), "TargetNodeCordoned");
    assert_refused(
        &Observed {
            nodes: vec![node("n1", |_| {})],
            ..observed()
        },
        "TargetNodeNotFound",
    );
    let mut same = observed();
    same.migration.spec.target = to_node("n1");
    assert_refused(&same, "TargetIsSource");
    assert_refused(
        &Observed {
            nodes: vec![node("n1", without_agent), node("n2", |_| {})],
            ..observed()
        },
        "SourceNodeNotReady",
    );
}

#[test]
fn without_a_named_node_any_usable_one_will_do() {
    let mut observed = observed();
    observed.migration.spec.target = None;
    assert_eq!(decide(&observed, at(5)).status.phase, MigrationPhase::Preparing);
    observed.nodes.truncate(1);
    assert_refused(&observed, "NoUsableNode");
}

#[test]
fn a_selector_that_fits_only_the_source_is_refused() {
    let mut observed = observed();
    let selector = |zone: &str| {
        Some(TargetSpec {
            node_name: None,
            node_selector: Some([("zone".to_owned(), zone.to_owned())].into()),
        })
    };
    observed.migration.spec.target = selector("n1");
    assert_refused(&observed, "NoUsableNode");
    observed.migration.spec.target = selector("n2");
    assert_eq!(decide(&observed, at(5)).status.phase, MigrationPhase::Preparing);
}

#[test]
fn of_two_migrations_of_a_pod_exactly_one_goes_ahead() {
    let mut a = observed();
    let mut b = observed();
    b.migration.metadata.uid = Some("zz".to_owned());
    b.migration.metadata.name = Some("second".to_owned());
    a.others = vec![a.migration.clone(), b.migration.clone()];
    b.others = vec![a.migration.clone(), b.migration.clone()];
    assert_eq!(decide(&a, at(5)).status.phase, MigrationPhase::Preparing);
    assert_refused(&b, "AnotherMigrationOfPod");
}

#[test]
fn an_older_migration_yields_to_one_that_is_under_way() {
    let mut old = observed();
    let mut young = migration(to_node("n2"));
    young.metadata.uid = Some("zz".to_owned());
    young.status = Some(serde_json::from_value(json!({"phase": "Copying"})).unwrap());
    old.others = vec![young.clone()];
    assert_refused(&old, "AnotherMigrationOfPod");
    young.status = Some(serde_json::from_value(json!({"phase": "Failed"})).unwrap());
    old.others = vec![young];
    assert_eq!(decide(&old, at(5)).status.phase, MigrationPhase::Preparing);
}

#[test]
fn what_the_source_node_can_track_decides_over_pre_copy() {
    use MemoryMode::{Auto, PreCopy, StopAndCopy};
    use Verdict::{Pass, Refuse, Warn};
    let cases = [
        (Auto, Some("WriteProtect"), Pass),
        (Auto, Some("None"), Warn),
        (Auto, None, Pass),
        (PreCopy, Some("WriteProtect"), Pass),
        (PreCopy, Some("SoftDirty"), Pass),
        (PreCopy, Some("None"), Refuse),
        (PreCopy, None, Warn),
        (PreCopy, Some("something-newer"), Warn),
        (StopAndCopy, Some("None"), Pass),
        (StopAndCopy, None, Pass),
    ];
    for (mode, label, verdict) in cases {
        let mut observed = observed();
        observed.migration.spec.memory = mode;
        // Of the source's node; what the target's can do is of no interest.
        observed.nodes = vec![
            node("n1", |node| {
                if let Some(label) = label {
                    node["metadata"]["labels"]["godwit.dev/memory-tracking"] = json!(label);
                }
            }),
            node("n2", |node| {
                node["metadata"]["labels"]["godwit.dev/memory-tracking"] = json!("None");
            }),
        ];
        let checks = preflight::run(&observed);
        let check = checks.iter().find(|check| check.name == "Memory").unwrap();
        assert_eq!(check.verdict, verdict, "{mode:?} {label:?}");
        assert_eq!(check.message.is_empty(), verdict == Pass);
        if verdict == Refuse {
            assert_refused(&observed, "PreCopyUnavailable");
        }
    }
}

#[test]
fn a_pod_whose_memory_is_not_complete_does_not_move_on() {
    let mut maker = migration(to_node("n1"));
    let mut say = |filled: bool| {
        let status = json!({"phase": "Finishing", "target": {"state": "Running", "memory": {"pagesLeft": 1, "filled": filled}}});
        maker.status = Some(serde_json::from_value(status).unwrap());
        Observed {
            maker: Some(maker.clone()),
            ..observed()
        }
    };
    assert_refused(&say(false), "MemoryNotFilled");
    let refused = |observed: &Observed| {
        preflight::run(observed)
            .iter()
            .any(|check| check.verdict == Verdict::Refuse)
    };
    assert!(!refused(&say(true)));
}

#[test]
fn what_the_api_server_says_against_the_target_pod_is_told_before_anything_is_made() {
    let says = |words: &str| Observed {
        target_refusal: Some(words.to_owned()),
        ..observed()
    };
    let message = |words: &str| {
        let observed = says(words);
        assert_refused(&observed, "TargetRefused");
        let checks = preflight::run(&observed);
        let check = checks.iter().find(|check| check.name == "TargetAdmitted");
        check.unwrap().message.clone()
    };
    let quota = message(
        "pods \"p\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1",
    );
    assert!(quota.contains("raise the quota"), "{quota}");
    let range =
        message("pods \"p\" is forbidden: maximum memory usage per Container is 32Mi, but limit is 64Mi");
    assert!(range.contains("change the limit range"), "{range}");
    let policy = message("pods \"p\" is forbidden: violates PodSecurity");
    assert!(
        policy.contains("PodSecurity") && !policy.contains("quota"),
        "{policy}"
    );
}

#[test]
fn a_spec_that_was_stored_before_its_schema_is_refused_by_name() {
    for (field, value, reason) in [
        ("freezeBudget", "0s", "FreezeBudgetInvalid"),
        ("bandwidth", "100m", "BandwidthInvalid"),
        ("timeout", "soon", "TimeoutInvalid"),
    ] {
        let mut observed = observed();
        let mut spec = serde_json::to_value(&observed.migration.spec).unwrap();
        spec[field] = json!(value);
        observed.migration.spec = serde_json::from_value(spec).unwrap();
        let status = decide(&observed, at(5)).status;
        assert_eq!(
            (status.phase, status.reason.as_deref()),
            (MigrationPhase::Failed, Some(reason))
        );
        assert!(status.message.unwrap().contains(value));
    }
}

/// A pod of that owner, whose object says that.
fn owned(version: &str, kind: &str, owner: Option<Owner>) -> Observed {
    Observed {
        source: Some(pod(|pod| {
            pod["metadata"]["ownerReferences"] = json!([
                {"apiVersion": version, "kind": kind, "name": "shop", "uid": "owner-uid", "controller": true}
            ]);
        })),
        owner,
        ..observed()
    }
}

fn replica_set(selector: &Value) -> Owner {
    let object = json!({"metadata": {"uid": "owner-uid"}, "spec": {"selector": selector}});
    Owner::of_replica_set(&serde_json::from_value(object).unwrap(), "owner-uid")
}

fn job(manager: Option<&str>) -> Owner {
    let spec = json!({"template": {}, "managedBy": manager, "selector": {"matchLabels": {"app": "redis"}}});
    let object = json!({"metadata": {"uid": "owner-uid"}, "spec": spec});
    Owner::of_job(&serde_json::from_value(object).unwrap(), "owner-uid")
}

#[test]
fn pods_of_owners_that_take_a_target_pass() {
    let by_label = replica_set(&json!({"matchLabels": {"app": "redis"}}));
    for (version, kind, owner) in [
        ("apps/v1", "ReplicaSet", by_label),
        ("batch/v1", "Job", job(None)),
        ("batch/v1", "Job", job(Some("kubernetes.io/job-controller"))),
    ] {
        let observed = owned(version, kind, Some(owner));
        assert_eq!(
            decide(&observed, at(5)).status.phase,
            MigrationPhase::Preparing,
            "{kind}"
        );
    }
}

#[test]
fn pods_of_other_owners_are_refused_by_the_owners_name_with_a_cure() {
    let wide = replica_set(&json!({"matchExpressions": [{"key": "canary", "operator": "DoesNotExist"}]}));
    let scaled = Owner::Ends("is scaled to 0, without redis-0".to_owned());
    let cases: [(&str, &str, Option<Owner>, &str, &str); 8] = [
        ("apps/v1", "StatefulSet", Some(scaled), "OwnerGone", "scaled to 0"),
        (
            "apps/v1",
            "DaemonSet",
            None,
            "DaemonSetUnsupported",
            "nothing to move",
        ),
        ("v1", "Node", None, "OwnerUnsupported", "annotate the pod"),
        (
            "example.com/v1",
            "Machine",
            None,
            "OwnerUnsupported",
            "godwit.dev/owner-accepts-new-name=true",
        ),
        (
            "apps/v1",
            "ReplicaSet",
            Some(Owner::absent()),
            "OwnerGone",
            "is gone",
        ),
        (
            "apps/v1",
            "ReplicaSet",
            None,
            "OwnerGone",
            "has not been looked at",
        ),
        (
            "apps/v1",
            "ReplicaSet",
            Some(wide),
            "OwnerSelectorUnsupported",
            "select by a label",
        ),
        (
            "batch/v1",
            "Job",
            Some(job(Some("example.com/queue"))),
            "OwnerUnsupported",
            "spec.managedBy",
        ),
    ];
    for (version, kind, owner, reason, cure) in cases {
        let observed = owned(version, kind, owner);
        assert_refused(&observed, reason);
        let message = decide(&observed, at(5)).status.message.unwrap();
        assert!(
            message.contains(&format!("{kind} shop")) && message.contains(cure),
            "{message}"
        );
    }
}

#[test]
fn an_unknown_owner_is_taken_at_its_pods_word() {
    let mut observed = owned("example.com/v1", "Machine", None);
    let source = observed.source.as_mut().unwrap();
    let annotations = source.metadata.annotations.get_or_insert_default();
    annotations.insert("godwit.dev/owner-accepts-new-name".to_owned(), "true".to_owned());
    assert_eq!(decide(&observed, at(5)).status.phase, MigrationPhase::Preparing);
}

#[test]
fn a_node_that_cannot_have_a_claims_volume_is_refused_by_the_claims_name() {
    let mut observed = observed();
    let volumes = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "shop"}}]);
    observed.source = Some(pod(set("/spec/volumes", volumes)));
    let claim = |zone: &str| Claim {
        name: "shop".to_owned(),
        object: Some(serde_json::from_value(json!({"spec": {"accessModes": ["ReadWriteMany"]}})).unwrap()),
        volume: Some(
            serde_json::from_value(json!({"spec": {
                "accessModes": ["ReadWriteMany"], "csi": {"driver": "x.csi", "volumeHandle": "h"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [
                    {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1", zone]}]},
                ]}},
            }}))
            .unwrap(),
        ),
    };
    observed.claims = vec![claim("n3")];
    assert_refused(&observed, "VolumeNotOnNode");
    let message = decide(&observed, at(5)).status.message.unwrap();
    assert!(
        message.contains("claim shop") && message.contains("node n2"),
        "{message}"
    );
    observed.migration.spec.target = None;
    assert_refused(&observed, "NoUsableNode");
    observed.claims = vec![claim("n2")];
    let checks = preflight::run(&observed);
    assert!(
        checks.iter().all(|check| check.verdict != Verdict::Refuse),
        "{checks:?}"
    );
}
