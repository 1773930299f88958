//! Host name, environment, user, security profile and standing with the scheduler are the source's; `/etc/hosts`,
//! `/etc/resolv.conf` and the token are the target's own.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::authentication::v1::TokenReview;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::suite::inside::exec;
use crate::suite::moves::fine;
use crate::suite::{Behaviour, Lab, address_of, workload_container};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a pod keeps its identity, and has a token and files of its own where it must",
    |lab| Box::pin(run(lab)),
);

const CLASS: &str = "godwit-e2e-identity";
/// Who the processes are, what they may do, what they know. `/proc/1/environ` is what the first process was started with.
const WHO: &str = "hostname; id; grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp)' /proc/1/status; cat /proc/1/attr/current 2>/dev/null; \
                   tr '\\0' '\\n' </proc/1/environ | sort; ulimit -a; cat /etc/resolv.conf; grep -v '^[0-9.]*\\s*kept-by-name' /etc/hosts | grep -v '^#'";
const TOKEN: &str = "cat /var/run/secrets/kubernetes.io/serviceaccount/token";
/// Fields of the pod's spec that are nobody's business but the user's.
const KEPT: [&str; 14] = [
    "priority",
    "priorityClassName",
    "preemptionPolicy",
    "tolerations",
    "topologySpreadConstraints",
    "securityContext",
    "serviceAccountName",
    "dnsPolicy",
    "dnsConfig",
    "hostAliases",
    "subdomain",
    "schedulerName",
    "terminationGracePeriodSeconds",
    "enableServiceLinks",
];

async fn shell(lab: &Lab, pod: &Pod, script: &str) -> Result<String> {
    exec(lab, &pod.name_any(), &["sh", "-c", script]).await
}

async fn run(lab: &Lab) -> Result<()> {
    let classes: Api<PriorityClass> = Api::all(lab.client());
    // One that an interrupted run left behind.
    let _ = classes.delete(CLASS, &DeleteParams::default()).await;
    let class = json!({"metadata": {"name": CLASS}, "value": 1000, "preemptionPolicy": "Never"});
    classes
        .create(&PostParams::default(), &serde_json::from_value(class)?)
        .await?;
    let kept = kept(lab).await;
    classes.delete(CLASS, &DeleteParams::default()).await?;
    kept
}

async fn kept(lab: &Lab) -> Result<()> {
    let account = serde_json::from_value(json!({"metadata": {"name": "worker"}}))?;
    lab.api::<ServiceAccount>()
        .create(&PostParams::default(), &account)
        .await?;
    let source = lab.pod("subject", Some("n1"), spec()).await?;
    fine(lab, &source).await?;
    let (who, token) = (shell(lab, &source, WHO).await?, shell(lab, &source, TOKEN).await?);
    // The comparison is worth something only if what matters is in it.
    for part in [
        "kept-by-name",
        "uid=1000",
        "Seccomp:\t2",
        "NoNewPrivs:\t1",
        "ANSWER=42",
        "search here.test",
        "192.0.2.77",
    ] {
        ensure!(who.contains(part), "the look from inside lacks {part}: {who}");
    }

    let target = lab.moved("subject", "n2").await?;
    fine(lab, &target).await?;
    let now = shell(lab, &target, WHO).await?;
    ensure!(now == who, "before: {who}\nafter: {now}");
    for field in KEPT {
        let (was, is) = (of(&source, field)?, of(&target, field)?);
        ensure!(was == is, "spec.{field} was {was} and is {is}");
    }
    let container = |pod: &Pod| -> Result<Value> {
        let mut container = serde_json::to_value(pod)?["spec"]["containers"][0].clone();
        let fields = container.as_object_mut().context("a container")?;
        // The token's volume has a name of the pod's own; the image is there already.
        for own in [
            "volumeMounts",
            "imagePullPolicy",
            "readinessProbe",
            "startupProbe",
        ] {
            fields.remove(own);
        }
        Ok(container)
    };
    ensure!(
        container(&source)? == container(&target)?,
        "the container is another: {:?}",
        container(&target)?
    );

    let hosts = shell(lab, &target, "cat /etc/hosts").await?;
    let own = format!("{}\tkept-by-name", address_of(&target)?);
    ensure!(
        hosts.contains(&own),
        "/etc/hosts is not the target's own: {hosts}"
    );
    let fresh = shell(lab, &target, TOKEN).await?;
    ensure!(fresh != token, "the token is the source's");
    is_of(lab, &fresh, &target).await
}

fn spec() -> Value {
    let mut container = workload_container("main", &["zoo", "7000"]);
    container["env"] = json!([{"name": "ANSWER", "value": "42"}]);
    container["securityContext"] =
        json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true});
    container["resources"] =
        json!({"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "512Mi"}});
    json!({
        "containers": [container],
        "hostname": "kept-by-name",
        "subdomain": "quiet",
        "serviceAccountName": "worker",
        "priorityClassName": CLASS,
        "terminationGracePeriodSeconds": 7,
        "enableServiceLinks": false,
        "securityContext": {
            "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000, "supplementalGroups": [3000],
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "hostAliases": [{"ip": "192.0.2.77", "hostnames": ["elsewhere.test"]}],
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["192.0.2.53"], "searches": ["here.test"], "options": [{"name": "ndots", "value": "2"}]},
        "tolerations": [{"key": "some", "operator": "Equal", "value": "taint", "effect": "NoSchedule"}],
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": "subject"}},
        }],
    })
}

fn of(pod: &Pod, field: &str) -> Result<Value> {
    Ok(serde_json::to_value(pod)?["spec"][field].clone())
}

/// Fails unless the API server takes the token, and for that of this very pod.
async fn is_of(lab: &Lab, token: &str, pod: &Pod) -> Result<()> {
    let review = serde_json::from_value(json!({"spec": {"token": token.trim()}}))?;
    let reviewed: TokenReview = Api::all(lab.client())
        .create(&PostParams::default(), &review)
        .await?;
    let status = reviewed.status.context("the review says nothing")?;
    ensure!(
        status.authenticated == Some(true),
        "the token is not taken: {status:?}"
    );
    let extra = status.user.and_then(|user| user.extra).unwrap_or_default();
    let name = extra.get("authentication.kubernetes.io/pod-name");
    ensure!(
        name.is_some_and(|names| names.contains(&pod.name_any())),
        "the token is that of another pod: {extra:?}"
    );
    Ok(())
}
