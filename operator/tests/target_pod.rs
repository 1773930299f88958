//! The target pod is what a user wrote, without what the cluster added, and with parking in front.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which may")]

mod support;

use godwit_operator::target_pod::{build, hostname, name};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use support::{migration, plain_pod, pod, to_node};

fn built(source: &Pod) -> Value {
    serde_json::to_value(build(source, &migration(to_node("n2")))).unwrap()
}

#[test]
fn what_the_user_wrote_stays_and_what_the_cluster_added_goes() {
    let source = plain_pod();
    let target = built(&source);
    let spec = &target["spec"];
    assert_eq!(
        target["metadata"]["labels"],
        json!({"app": "redis", "godwit.dev/migration": "move"})
    );
    let annotations = &target["metadata"]["annotations"];
    assert_eq!(annotations["team"], "a");
    assert_eq!(annotations["godwit.dev/origin"], "redis-0");
    assert_eq!(annotations["godwit.dev/migration-uid"], "migration-uid");
    assert!(annotations.get("cni.projectcalico.org/podIP").is_none());
    for gone in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "ownerReferences",
        "finalizers",
    ] {
        assert!(target["metadata"].get(gone).is_none(), "{gone}");
    }
    assert!(target.get("status").is_none());
    for gone in ["nodeName", "serviceAccount", "overhead", "ephemeralContainers"] {
        assert!(spec.get(gone).is_none(), "{gone}");
    }
    assert_eq!(spec["serviceAccountName"], "default");
    assert_eq!(spec["runtimeClassName"], "godwit");
    assert_eq!(spec["hostname"], "redis-0");
    assert_eq!(
        spec["volumes"],
        json!([{"name": "conf", "configMap": {"name": "redis"}}])
    );
    assert_eq!(
        spec["containers"][0]["volumeMounts"],
        json!([{"name": "conf", "mountPath": "/etc/redis"}])
    );
    assert_eq!(spec["containers"][0]["imagePullPolicy"], "IfNotPresent");
    assert_eq!(
        spec["tolerations"],
        json!([{"key": "spot", "operator": "Exists"}])
    );
}

#[test]
fn parking_satisfies_the_restricted_level_and_costs_what_its_container_costs() {
    let source = pod(|pod| {
        pod["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1", "memory": "1Gi", "example.com/dev": "1"}, "requests": {"cpu": "1", "memory": "1Gi"}});
    });
    let park = &built(&source)["spec"]["initContainers"][0];
    assert_eq!(
        park["securityContext"],
        json!({
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "privileged": false,
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}
        })
    );
    assert_eq!(
        park["resources"],
        json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}})
    );
    assert_eq!(park["command"], json!(["/.godwit-park"]));
}

#[test]
fn there_is_one_parking_container_for_each_image_and_the_last_one_parks() {
    let source = pod(|pod| {
        pod["spec"]["initContainers"] = json!([{"name": "setup", "image": "busybox"}]);
        let second = json!({"name": "metrics", "image": "exporter:1", "imagePullPolicy": "Never"});
        let third = json!({"name": "again", "image": "redis:8"});
        pod["spec"]["containers"]
            .as_array_mut()
            .unwrap()
            .extend([second, third]);
    });
    let target = built(&source);
    let parks: Vec<_> = target["spec"]["initContainers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|park| {
            (
                park["name"].as_str().unwrap(),
                park["image"].as_str().unwrap(),
                park["args"][0].as_str().unwrap(),
                park["imagePullPolicy"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        parks,
        [
            ("godwit-park-0", "redis:8", "pass", "IfNotPresent"),
            ("godwit-park-1", "exporter:1", "last", "Never")
        ]
    );
    assert_eq!(target["spec"]["containers"][1]["imagePullPolicy"], "Never");
}

#[test]
fn the_choice_of_node_is_added_to_every_alternative_of_the_users_own() {
    let zone =
        |name: &str| json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": [name]}]});
    let source = pod(|pod| {
        pod["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [zone("a"), zone("b")]}}});
    });
    let terms =
        built(&source)["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
            ["nodeSelectorTerms"]
            .clone();
    assert_eq!(terms.as_array().unwrap().len(), 2);
    for (term, name) in terms.as_array().unwrap().iter().zip(["a", "b"]) {
        assert_eq!(
            term["matchFields"],
            json!([{"key": "metadata.name", "operator": "In", "values": ["n2"]}])
        );
        assert_eq!(term["matchExpressions"], zone(name)["matchExpressions"]);
    }
}

#[test]
fn without_a_target_the_scheduler_may_choose_any_node_but_the_sources() {
    let target = serde_json::to_value(build(&plain_pod(), &migration(None))).unwrap();
    let terms = &target["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        ["nodeSelectorTerms"];
    assert_eq!(
        *terms,
        json!([{"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}]}])
    );
}

#[test]
fn moving_there_and_back_inherits_nothing_of_the_first_move() {
    let mut first = build(&plain_pod(), &migration(to_node("n2")));
    first.spec.as_mut().unwrap().node_name = Some("n2".to_owned());
    first
        .metadata
        .annotations
        .as_mut()
        .unwrap()
        .insert("godwit.dev/completed".to_owned(), "true".to_owned());
    let mut second = migration(to_node("n1"));
    second.metadata.uid = Some("another".to_owned());
    second.metadata.name = Some("back".to_owned());
    let back = serde_json::to_value(build(&first, &second)).unwrap();
    let terms = &back["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    assert_eq!(
        *terms,
        json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}])
    );
    assert!(
        back["metadata"]["annotations"]
            .get("godwit.dev/completed")
            .is_none()
    );
    assert_eq!(back["metadata"]["annotations"]["godwit.dev/origin"], "redis-0");
    assert_eq!(back["metadata"]["labels"]["godwit.dev/migration"], "back");
    assert_eq!(back["spec"]["initContainers"].as_array().unwrap().len(), 1);
    assert_eq!(back["spec"]["hostname"], "redis-0");
    let (one, two) = (name(&plain_pod(), "migration-uid"), name(&first, "another"));
    assert!(
        two.starts_with("redis-0-") && two.len() == one.len() && one != two,
        "{one} {two}"
    );
}

#[test]
fn names_and_host_names_fit_however_long_the_source_is_called() {
    let source = pod(|pod| pod["metadata"]["name"] = json!(format!("{}-{}", "a".repeat(56), "b".repeat(40))));
    let name = name(&source, "uid");
    assert!(name.len() <= 63, "{name}");
    assert!(!name.contains("--"), "{name}");
    assert_eq!(hostname(&source).len(), 63);
}

#[test]
fn a_warm_application_is_asked_at_once_and_a_later_cold_start_has_the_same_time() {
    let probe = |extra: i32| json!({"tcpSocket": {"port": 1}, "initialDelaySeconds": 30, "periodSeconds": 10, "failureThreshold": extra});
    let source = pod(|pod| {
        let container = &mut pod["spec"]["containers"][0];
        (
            container["startupProbe"],
            container["readinessProbe"],
            container["livenessProbe"],
        ) = (probe(6), probe(3), probe(3));
    });
    let container = &built(&source)["spec"]["containers"][0];
    assert_eq!(
        (
            &container["startupProbe"]["periodSeconds"],
            &container["startupProbe"]["failureThreshold"]
        ),
        (&json!(1), &json!(90))
    );
    assert!(container["startupProbe"].get("initialDelaySeconds").is_none());
    assert!(container["readinessProbe"].get("initialDelaySeconds").is_none());
    assert_eq!(container["livenessProbe"], probe(3));
}

#[test]
fn a_priority_class_decides_anew() {
    let source = pod(|pod| pod["spec"]["priorityClassName"] = json!("high"));
    let spec = &built(&source)["spec"];
    assert_eq!(spec["priorityClassName"], "high");
    assert!(spec.get("priority").is_none() && spec.get("preemptionPolicy").is_none());
    assert_eq!(built(&plain_pod())["spec"]["priority"], 0);
}
