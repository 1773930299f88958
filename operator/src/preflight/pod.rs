//! Checks that look at the source pod alone.

use godwit_crds::checks::{CheckInfo, operator};
use godwit_crds::{COMPLETED_ANNOTATION, MIGRATION_LABEL, RUNTIME_CLASS};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::ResourceExt;

use super::Check;
use crate::containers::lasting;
use crate::{facts, target_pod};

/// A check, the reason of its refusal, and how it is done, which gives what stands in the way.
type Rule = (
    &'static CheckInfo,
    &'static str,
    fn(&Pod, &PodSpec) -> Option<String>,
);

const RULES: [Rule; 15] = [
    (&operator::MIRROR_POD, "MirrorPodUnsupported", mirror),
    (&operator::POD_RUNNING, "PodNotRunning", running),
    (
        &operator::POD_IS_NO_TARGET,
        "TargetOfAnotherMigration",
        other_target,
    ),
    (
        &operator::HOST_NAMESPACES,
        "HostNamespacesUnsupported",
        host_namespaces,
    ),
    (&operator::HOST_PORTS, "HostPortsUnsupported", host_ports),
    (
        &operator::USER_NAMESPACES,
        "UserNamespacesUnsupported",
        user_namespaces,
    ),
    (
        &operator::SHARE_PROCESS_NAMESPACE,
        "ShareProcessNamespaceUnsupported",
        shared_processes,
    ),
    (&operator::RUNTIME_CLASS, "RuntimeClassUnsupported", runtime_class),
    (
        &operator::OPERATING_SYSTEM,
        "OperatingSystemUnsupported",
        operating_system,
    ),
    (&operator::TERMINAL, "TerminalUnsupported", terminal),
    (&operator::DEVICES, "DevicesUnsupported", devices),
    (
        &operator::SCHEDULING_GROUP,
        "SchedulingGroupUnsupported",
        scheduling_group,
    ),
    (&operator::HOSTNAME, "HostnameUnsupported", hostname),
    (
        &operator::CONTAINER_NAMES,
        "ContainerNameReserved",
        container_names,
    ),
    (
        &operator::ADDRESS_FAMILY,
        "AddressFamilyUnsupported",
        address_family,
    ),
];

/// Every rule, applied.
pub(super) fn checks(source: &Pod) -> impl Iterator<Item = Check> + '_ {
    let empty = PodSpec::default();
    RULES.into_iter().map(move |(check, reason, rule)| {
        Check::from_finding(
            check,
            reason,
            rule(source, source.spec.as_ref().unwrap_or(&empty)),
        )
    })
}

fn running(pod: &Pod, spec: &PodSpec) -> Option<String> {
    let name = pod.name_any();
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or("Pending");
    if facts::is_deleted(pod) {
        return Some(format!("pod {name} is being deleted"));
    }
    if phase != "Running" {
        return Some(format!("pod {name} is {phase}; only a running pod can move"));
    }
    if spec.node_name.is_none() {
        return Some(format!("pod {name} has no node"));
    }
    let stopped: Vec<&str> = facts::container_statuses(pod)
        .filter(|container| {
            container
                .state
                .as_ref()
                .is_none_or(|state| state.running.is_none())
        })
        .map(|container| container.name.as_str())
        .collect();
    if !stopped.is_empty() {
        return Some(format!(
            "containers that are not running: {}; wait until they are",
            stopped.join(", ")
        ));
    }
    (!facts::all_containers_run(pod))
        .then(|| format!("kubelet has not said yet that every container of {name} runs; try again"))
}

fn mirror(pod: &Pod, _: &PodSpec) -> Option<String> {
    let is_mirror = godwit_crds::is_mirror(pod);
    is_mirror.then(|| {
        "this is a static pod's mirror: kubelet runs it from a file on its node; move the file".to_owned()
    })
}

fn other_target(pod: &Pod, _: &PodSpec) -> Option<String> {
    let migration = pod.labels().get(MIGRATION_LABEL)?;
    let is_over = pod.annotations().contains_key(COMPLETED_ANNOTATION);
    (!is_over)
        .then(|| format!("the pod is the target of migration {migration}, which is not over; wait for it"))
}

fn host_namespaces(_: &Pod, spec: &PodSpec) -> Option<String> {
    let used: Vec<&str> = [
        ("hostNetwork", spec.host_network),
        ("hostPID", spec.host_pid),
        ("hostIPC", spec.host_ipc),
    ]
    .into_iter()
    .filter_map(|(field, value)| (value == Some(true)).then_some(field))
    .collect();
    (!used.is_empty()).then(|| {
        format!(
            "the pod shares namespaces with its node ({}), which stay there",
            used.join(", ")
        )
    })
}

fn host_ports(_: &Pod, spec: &PodSpec) -> Option<String> {
    let ports = lasting(spec)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| port.host_port);
    let ports: Vec<String> = ports
        .filter(|port| *port != 0)
        .map(|port| port.to_string())
        .collect();
    (!ports.is_empty()).then(|| {
        format!(
            "host ports {} are the node's and would change with it; use a Service",
            ports.join(", ")
        )
    })
}

fn user_namespaces(_: &Pod, spec: &PodSpec) -> Option<String> {
    (spec.host_users == Some(false)).then(|| "pods with hostUsers: false cannot move yet".to_owned())
}

fn shared_processes(_: &Pod, spec: &PodSpec) -> Option<String> {
    (spec.share_process_namespace == Some(true))
        .then(|| "pods with shareProcessNamespace cannot move yet".to_owned())
}

fn runtime_class(_: &Pod, spec: &PodSpec) -> Option<String> {
    let class = spec
        .runtime_class_name
        .as_deref()
        .filter(|class| *class != RUNTIME_CLASS)?;
    Some(format!(
        "runtimeClassName {class} runs containers in a way that cannot be checkpointed here; only the default runtime can"
    ))
}

fn operating_system(_: &Pod, spec: &PodSpec) -> Option<String> {
    let os = spec
        .os
        .as_ref()
        .map(|os| os.name.as_str())
        .filter(|os| *os != "linux")?;
    Some(format!("pods of {os} cannot move"))
}

fn terminal(_: &Pod, spec: &PodSpec) -> Option<String> {
    let names = named(spec, |container| {
        container.tty == Some(true) || container.stdin == Some(true)
    });
    names.map(|names| {
        format!(
            "containers with tty or stdin ({names}) hang on a terminal of their node; create the pod without"
        )
    })
}

fn devices(_: &Pod, spec: &PodSpec) -> Option<String> {
    if spec
        .resource_claims
        .as_ref()
        .is_some_and(|claims| !claims.is_empty())
    {
        return Some("the pod has resource claims: the state of a device cannot move".to_owned());
    }
    let names = named(spec, |container| {
        let lists = container
            .resources
            .iter()
            .flat_map(|resources| [&resources.limits, &resources.requests]);
        // Names with a domain are device plugins' and other extensions; hugepages are memory.
        lists
            .flatten()
            .flat_map(|list| list.keys())
            .any(|name| name.contains('/'))
    });
    names.map(|names| format!("containers with devices ({names}): the state of a device cannot move"))
}

fn scheduling_group(_: &Pod, spec: &PodSpec) -> Option<String> {
    spec.scheduling_group
        .is_some()
        .then(|| "the pod is scheduled as one of a group, which one pod cannot leave".to_owned())
}

fn hostname(pod: &Pod, spec: &PodSpec) -> Option<String> {
    let name = target_pod::hostname(pod);
    let is_plain = spec.hostname_override.is_some() || !name.contains('.');
    (!is_plain).then(|| format!("the processes know their host name {name}, and a name with dots cannot be given to another pod; set spec.hostname"))
}

fn container_names(_: &Pod, spec: &PodSpec) -> Option<String> {
    let names = named(spec, |container| {
        container.name.starts_with(godwit_crds::PARK_PREFIX)
    });
    names.map(|names| {
        format!(
            "names that start with {} are Godwit's ({names}); rename the containers",
            godwit_crds::PARK_PREFIX
        )
    })
}

fn address_family(pod: &Pod, _: &PodSpec) -> Option<String> {
    let addresses: Vec<&str> = pod
        .status
        .iter()
        .flat_map(|status| status.pod_ips.iter().flatten())
        .map(|ip| ip.ip.as_str())
        .collect();
    let is_plain = addresses.iter().all(|address| !address.contains(':'));
    (!is_plain).then(|| {
        format!(
            "the pod has IPv6 addresses ({}), which cannot be carried yet",
            addresses.join(", ")
        )
    })
}

fn named(spec: &PodSpec, which: impl Fn(&Container) -> bool) -> Option<String> {
    let names: Vec<&str> = lasting(spec)
        .filter(|container| which(container))
        .map(|container| container.name.as_str())
        .collect();
    (!names.is_empty()).then(|| names.join(", "))
}
