//! Sidecars, containers that start anew, debugging containers and liveness probes, in preflight and in the target pod.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

mod support;

use godwit_crds::{MigrationPhase, Verdict};
use godwit_operator::decide::decide;
use godwit_operator::facts::{Observed, all_containers_run};
use godwit_operator::preflight;
use godwit_operator::target_pod::build;
use serde_json::{Value, json};
use support::{at, migration, observed, pod, to_node};

/// Two sidecars and two main containers, all of which run; `change` may change that.
fn with_sidecars(restart: &[&str], change: impl FnOnce(&mut Value)) -> Observed {
    let mut observed = observed();
    observed.source = Some(pod(|pod| {
        let running = |name: &str| json!({"name": name, "image": "x", "imageID": "x", "ready": true, "restartCount": 0, "state": {"running": {"startedAt": at(0).to_string()}}});
        pod["spec"]["initContainers"] = json!([
            {"name": "setup", "image": "busybox"},
            {"name": "proxy", "image": "proxy:1", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 1}}},
            {"name": "cache", "image": "cache:1", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 1}}},
        ]);
        pod["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "helper", "image": "helper:1", "startupProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 7}}));
        pod["status"]["initContainerStatuses"] = json!([
            {"name": "setup", "image": "x", "imageID": "x", "ready": true, "restartCount": 0, "state": {"terminated": {"exitCode": 0}}},
            running("proxy"), running("cache"),
        ]);
        pod["status"]["containerStatuses"]
            .as_array_mut()
            .unwrap()
            .push(running("helper"));
        change(pod);
    }));
    observed.migration.spec.restart_containers = restart.iter().map(|&name| name.to_owned()).collect();
    observed
}

fn verdict(observed: &Observed, name: &str) -> (Verdict, &'static str, String) {
    let checks = preflight::run(observed);
    let check = checks.into_iter().find(|check| check.name == name).unwrap();
    (check.verdict, check.reason, check.message)
}

fn init_containers(observed: &Observed) -> Vec<(String, String)> {
    let target = build(observed.source.as_ref().unwrap(), &observed.migration);
    let init = target.spec.unwrap().init_containers.unwrap();
    init.into_iter()
        .map(|container| (container.name, container.args.unwrap_or_default().concat()))
        .collect()
}

fn owned(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|&(name, role)| (name.to_owned(), role.to_owned()))
        .collect()
}

#[test]
fn sidecars_start_after_the_parking_in_their_order_and_without_startup_probes() {
    let observed = with_sidecars(&[], |_| {});
    assert_eq!(
        init_containers(&observed),
        owned(&[
            ("godwit-park-0", "pass"),
            ("godwit-park-1", "pass"),
            ("godwit-park-2", "pass"),
            ("godwit-park-3", "last"),
            ("proxy", ""),
            ("cache", "")
        ])
    );
    let target = build(observed.source.as_ref().unwrap(), &observed.migration)
        .spec
        .unwrap();
    let sidecars = target.init_containers.unwrap().split_off(4);
    assert!(
        sidecars
            .iter()
            .all(|it| it.startup_probe.is_none() && it.restart_policy.as_deref() == Some("Always"))
    );
    let (verdict, _, message) = verdict(&observed, "NativeSidecars");
    assert_eq!(verdict, Verdict::Warn);
    assert!(message.contains("proxy, cache"), "{message}");
    assert_eq!(decide(&observed, at(5)).status.phase, MigrationPhase::Preparing);
}

#[test]
fn a_target_that_moves_on_has_parking_containers_of_its_own_only() {
    let first = with_sidecars(&[], |_| {});
    let target = build(first.source.as_ref().unwrap(), &first.migration);
    let again = build(&target, &migration(to_node("n1")));
    let names = |pod: &k8s_openapi::api::core::v1::Pod| -> Vec<String> {
        let init = pod
            .spec
            .iter()
            .flat_map(|spec| spec.init_containers.iter().flatten());
        init.map(|it| it.name.clone()).collect()
    };
    assert_eq!(names(&again), names(&target));
}

#[test]
fn a_sidecar_that_starts_anew_does_so_before_the_pod_parks() {
    let observed = with_sidecars(&["proxy", "helper"], |_| {});
    assert_eq!(
        init_containers(&observed),
        owned(&[
            ("godwit-park-0", "pass"),
            ("godwit-park-1", "pass"),
            ("proxy", ""),
            ("godwit-park-2", "last"),
            ("cache", "")
        ])
    );
    let target = build(observed.source.as_ref().unwrap(), &observed.migration)
        .spec
        .unwrap();
    let helper = &target.containers[1];
    assert_eq!(helper.image_pull_policy.as_deref(), Some("IfNotPresent"));
    let period = helper.startup_probe.as_ref().unwrap().period_seconds;
    assert_eq!(period, Some(7), "what starts anew is not warm");
    let (verdict, _, message) = verdict(&observed, "RestartContainers");
    assert_eq!(verdict, Verdict::Warn);
    assert!(message.contains("proxy, helper"), "{message}");
    let decision = decide(&observed, at(5));
    assert_eq!(decision.status.phase, MigrationPhase::Preparing);
    assert!(
        decision
            .announcements
            .iter()
            .any(|it| it.warning && it.message.contains("proxy, helper"))
    );
}

#[test]
fn restart_containers_must_exist_and_leave_something_to_move() {
    for (restart, reason) in [
        (&["setup"][..], "RestartContainersUnknown"),
        (&["proxy", "nobody"], "RestartContainersUnknown"),
        (&["redis", "helper"], "NothingToMove"),
        (&["redis", "helper", "proxy", "cache"], "NothingToMove"),
    ] {
        let observed = with_sidecars(restart, |_| {});
        let (verdict, found, message) = verdict(&observed, "RestartContainers");
        assert_eq!((verdict, found), (Verdict::Refuse, reason), "{restart:?}");
        assert!(!message.is_empty());
        assert_eq!(decide(&observed, at(5)).status.reason.as_deref(), Some(reason));
    }
}

#[test]
fn a_sidecar_that_does_not_run_keeps_its_pod_from_moving() {
    let stopped = with_sidecars(&[], |pod| {
        pod["status"]["initContainerStatuses"][1]["state"] =
            json!({"waiting": {"reason": "CrashLoopBackOff"}});
    });
    let (verdict, _, message) = verdict(&stopped, "PodRunning");
    assert_eq!(verdict, Verdict::Refuse);
    assert!(message.contains("proxy"), "{message}");
    assert!(!all_containers_run(stopped.source.as_ref().unwrap()));
    assert!(all_containers_run(
        with_sidecars(&[], |_| {}).source.as_ref().unwrap()
    ));
}

#[test]
fn a_hook_is_refused_unless_its_sidecar_starts_before_the_freeze() {
    let hooked = |restart: &[&str]| {
        with_sidecars(restart, |pod| {
            pod["spec"]["initContainers"][1]["lifecycle"] =
                json!({"postStart": {"exec": {"command": ["true"]}}});
        })
    };
    assert_eq!(verdict(&hooked(&[]), "PostStartHook").0, Verdict::Refuse);
    assert_eq!(verdict(&hooked(&["cache"]), "PostStartHook").0, Verdict::Refuse);
    assert_eq!(verdict(&hooked(&["proxy"]), "PostStartHook").0, Verdict::Pass);
    let main = with_sidecars(&["helper"], |pod| {
        pod["spec"]["containers"][1]["lifecycle"] = json!({"postStart": {"exec": {"command": ["true"]}}});
    });
    assert_eq!(verdict(&main, "PostStartHook").0, Verdict::Refuse);
}

#[test]
fn ephemeral_containers_are_left_behind_with_a_warning() {
    let mut observed = observed();
    observed.source = Some(pod(|pod| {
        pod["spec"]["ephemeralContainers"] = json!([{"name": "debugger", "image": "x"}]);
    }));
    let (verdict, _, message) = verdict(&observed, "EphemeralContainers");
    assert_eq!(verdict, Verdict::Warn);
    assert!(message.contains("debugger"), "{message}");
    let decision = decide(&observed, at(5));
    assert_eq!(decision.status.phase, MigrationPhase::Preparing);
    let told = decision
        .announcements
        .iter()
        .find(|it| it.reason == "EphemeralContainersDropped");
    assert!(told.unwrap().warning);
    let target = build(observed.source.as_ref().unwrap(), &observed.migration);
    assert!(target.spec.unwrap().ephemeral_containers.is_none());
}

#[test]
fn what_liveness_probes_allow_is_compared_with_the_freeze_budget() {
    let probed = |probe: Value, budget: Option<&str>| {
        let mut observed = with_sidecars(&[], |pod| pod["spec"]["containers"][1]["livenessProbe"] = probe);
        let mut spec = serde_json::to_value(&observed.migration.spec).unwrap();
        if let Some(budget) = budget {
            spec["freezeBudget"] = json!(budget);
        }
        observed.migration.spec = serde_json::from_value(spec).unwrap();
        verdict(&observed, "LivenessProbe")
    };
    let strict = json!({"failureThreshold": 2, "periodSeconds": 1, "timeoutSeconds": 1});
    assert_eq!(probed(json!({}), None).0, Verdict::Pass);
    assert_eq!(probed(json!({}), Some("20s")).0, Verdict::Pass);
    assert_eq!(probed(json!({}), Some("21s")).0, Verdict::Refuse);
    assert_eq!(probed(strict.clone(), Some("1500ms")).0, Verdict::Warn);
    let (verdict, reason, message) = probed(strict, Some("1501ms"));
    assert_eq!((verdict, reason), (Verdict::Refuse, "LivenessProbeTooStrict"));
    assert!(
        message.contains("helper") && message.contains("spec.freezeBudget"),
        "{message}"
    );
}
