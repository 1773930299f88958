//! What the operator checks, from what the API server knows, before anything is touched.

use super::{CheckInfo, RunsBy};

/// There is such a pod.
pub const POD_EXISTS: CheckInfo = CheckInfo {
    name: "PodExists",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a pod that is not there (`PodNotFound`)",
    why: "there is nothing to move",
    cure: "set `spec.podName` to a running pod of the migration's namespace",
};
/// The pod is no static pod's mirror.
pub const MIRROR_POD: CheckInfo = CheckInfo {
    name: "MirrorPod",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "static pods (`MirrorPodUnsupported`)",
    why: "kubelet runs them from a file on its node, and would start them there again",
    cure: "move the file",
};
/// The pod runs.
pub const POD_RUNNING: CheckInfo = CheckInfo {
    name: "PodRunning",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "pods of which not every container runs, or that are being deleted (`PodNotRunning`)",
    why: "only a running process can be checkpointed",
    cure: "wait until all containers run",
};
/// The pod is not on its way already.
pub const POD_IS_NO_TARGET: CheckInfo = CheckInfo {
    name: "PodIsNoTarget",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "the target of a migration that is not over (`TargetOfAnotherMigration`)",
    why: "it is held, or not complete",
    cure: "wait for that migration",
};
/// The pod has namespaces of its own.
pub const HOST_NAMESPACES: CheckInfo = CheckInfo {
    name: "HostNamespaces",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "hostNetwork, hostPID, hostIPC (`HostNamespacesUnsupported`)",
    why: "what the processes see in the node's namespaces stays there",
    cure: "use the pod's own namespaces",
};
/// The pod has no ports of its node.
pub const HOST_PORTS: CheckInfo = CheckInfo {
    name: "HostPorts",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "host ports (`HostPortsUnsupported`)",
    why: "they are the node's and would change with it, under clients that know the node's address",
    cure: "use a Service",
};
/// The pod is in its node's user namespace.
pub const USER_NAMESPACES: CheckInfo = CheckInfo {
    name: "UserNamespaces",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "`hostUsers: false` (`UserNamespacesUnsupported`)",
    why: "kubelet gives the target another range of IDs than the one that files and processes were made with",
    cure: "create the pod without",
};
/// Each container has its own PIDs.
pub const SHARE_PROCESS_NAMESPACE: CheckInfo = CheckInfo {
    name: "ShareProcessNamespace",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "`shareProcessNamespace: true` (`ShareProcessNamespaceUnsupported`)",
    why: "the processes are children of the sandbox, which is not checkpointed",
    cure: "create the pod without",
};
/// The pod's runtime is runc.
pub const RUNTIME_CLASS: CheckInfo = CheckInfo {
    name: "RuntimeClass",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a RuntimeClass other than `godwit` (`RuntimeClassUnsupported`)",
    why: "such a runtime cannot be checkpointed, or is not known to be",
    cure: "create the pod without",
};
/// The pod is of Linux.
pub const OPERATING_SYSTEM: CheckInfo = CheckInfo {
    name: "OperatingSystem",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "pods of Windows (`OperatingSystemUnsupported`)",
    why: "CRIU is of Linux",
    cure: "none",
};
/// No container hangs on a terminal.
pub const TERMINAL: CheckInfo = CheckInfo {
    name: "Terminal",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "`tty` and `stdin` (`TerminalUnsupported`)",
    why: "the other end of the terminal is containerd's, on its node",
    cure: "create the pod without",
};
/// The pod has no devices.
pub const DEVICES: CheckInfo = CheckInfo {
    name: "Devices",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "extended resources and resource claims (`DevicesUnsupported`)",
    why: "the state of a device is in the device",
    cure: "none",
};
/// The pod is scheduled alone.
pub const SCHEDULING_GROUP: CheckInfo = CheckInfo {
    name: "SchedulingGroup",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "pods of a scheduling group (`SchedulingGroupUnsupported`)",
    why: "the group is scheduled as a whole, and one pod cannot leave it",
    cure: "none",
};
/// The pod's host name can be given to another pod.
pub const HOSTNAME: CheckInfo = CheckInfo {
    name: "Hostname",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a host name with dots (`HostnameUnsupported`)",
    why: "processes know their host name, and such a one cannot be given to a pod of another name",
    cure: "set `spec.hostname` of the pod",
};
/// No container has a name that Godwit needs.
pub const CONTAINER_NAMES: CheckInfo = CheckInfo {
    name: "ContainerNames",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "containers whose names begin with `godwit-park-` (`ContainerNameReserved`)",
    why: "parking containers are called so",
    cure: "rename the container",
};
/// The pod's addresses are IPv4.
pub const ADDRESS_FAMILY: CheckInfo = CheckInfo {
    name: "AddressFamily",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "IPv6 addresses (`AddressFamilyUnsupported`)",
    why: "they cannot be carried yet",
    cure: "use an IPv4 pod network",
};
/// `spec.restartContainers` makes sense; and what it costs.
pub const RESTART_CONTAINERS: CheckInfo = CheckInfo {
    name: "RestartContainers",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a name that the pod does not have (`RestartContainersUnknown`), or all main containers (`NothingToMove`); warns of what is lost otherwise",
    why: "what a restarted container had in memory and files is lost",
    cure: "name some containers that go on running, but not every main one",
};
/// Startup probes of sidecars are dropped.
pub const NATIVE_SIDECARS: CheckInfo = CheckInfo {
    name: "NativeSidecars",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "Warns that a sidecar that moves loses its startupProbe",
    why: "kubelet would wait for the probe while the container is held",
    cure: "none needed",
};
/// No container that moves has a postStart hook.
pub const POST_START_HOOK: CheckInfo = CheckInfo {
    name: "PostStartHook",
    runs_by: RunsBy::Operator,
    acceptable: true,
    refuses: "postStart hooks, but for a sidecar in `spec.restartContainers`, whose hook runs before the freeze (`PostStartHookUnsupported`); accepted, the target has none, now and at later restarts of its containers",
    why: "kubelet would run the hook a second time, in a held container, and wait for it for ever",
    cure: "create the pod without; or accept",
};
/// Ephemeral containers stay behind.
pub const EPHEMERAL_CONTAINERS: CheckInfo = CheckInfo {
    name: "EphemeralContainers",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "Warns of ephemeral containers, which end with the source",
    why: "a pod never loses them again, so they must not keep it from moving",
    cure: "none needed",
};
/// The freeze is shorter than liveness probes allow.
pub const LIVENESS_PROBE: CheckInfo = CheckInfo {
    name: "LivenessProbe",
    runs_by: RunsBy::Operator,
    acceptable: true,
    refuses: "a `spec.freezeBudget` longer than the liveness probes allow a freeze to be (`LivenessProbeTooStrict`); warns where they allow little",
    why: "kubelet kills a container whose probe has failed often enough",
    cure: "lower `spec.freezeBudget`, or raise failureThreshold, periodSeconds or timeoutSeconds of the probe; or accept",
};
/// The pod's owner takes another pod in its place.
pub const OWNER: CheckInfo = CheckInfo {
    name: "Owner",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "pods of a DaemonSet (`DaemonSetUnsupported`); of an owner that Godwit does not know, or of a Job with `spec.managedBy` (`OwnerUnsupported`); of one whose selector cannot be hidden from (`OwnerSelectorUnsupported`); of one that ends, or of a StatefulSet that is about to take the pod by a scale-down or a new revision (`OwnerGone`); a leg of a migration that does not know it (`LegUnknown`), or from a pod that stands in for none (`NoStandIn`)",
    why: "the owner would delete the target, or make a second pod: [owners.md](owners.md)",
    cure: "for unknown owners the pod's annotation `godwit.dev/owner-accepts-new-name: \"true\"`",
};
/// Every volume can be copied, made anew or compared.
pub const VOLUMES: CheckInfo = CheckInfo {
    name: "Volumes",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "volumes other than emptyDir (on disk or `medium: Memory`), config maps, secrets, projected ones, the downward API, hostPath of which every mount is read-only, and claims whose volume several nodes can mount at once (ReadWriteMany or ReadOnlyMany, of a network file system); more than 128 emptyDirs (`VolumeUnsupported`)",
    why: "what is in them would stay behind",
    cure: "use one of those",
};
/// The source's node can take part.
pub const SOURCE_NODE_AGENT: CheckInfo = CheckInfo {
    name: "SourceNodeAgent",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a source on a node that is not Ready, has no agent that is ready, or no InternalIP (`SourceNodeNotReady`)",
    why: "the agent checkpoints",
    cure: "look at the godwit-agent pod of that node",
};
/// `spec.target.nodeName` is a node.
pub const TARGET_NODE_EXISTS: CheckInfo = CheckInfo {
    name: "TargetNodeExists",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a node that is not there (`TargetNodeNotFound`)",
    why: "nothing can run there",
    cure: "name another node",
};
/// `spec.target.nodeName` is another node.
pub const TARGET_NODE_DIFFERS: CheckInfo = CheckInfo {
    name: "TargetNodeDiffers",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "the node that the pod is on (`TargetIsSource`)",
    why: "there is nothing to move",
    cure: "name another node",
};
/// `spec.target.nodeName` can have the volumes.
pub const TARGET_NODE_VOLUMES: CheckInfo = CheckInfo {
    name: "TargetNodeVolumes",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a node that cannot mount the volume of a claim, by the volume's node affinity (`VolumeNotOnNode`)",
    why: "the target pod would not be scheduled there",
    cure: "name another node",
};
/// `spec.target.nodeName` is Ready.
pub const TARGET_NODE_READY: CheckInfo = CheckInfo {
    name: "TargetNodeReady",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a node that is not Ready (`TargetNodeNotReady`)",
    why: "the target pod would not start",
    cure: "bring its kubelet back or name another node",
};
/// `spec.target.nodeName` is not cordoned.
pub const TARGET_NODE_SCHEDULABLE: CheckInfo = CheckInfo {
    name: "TargetNodeSchedulable",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a node that is cordoned (`TargetNodeCordoned`)",
    why: "the scheduler would not bind the target pod",
    cure: "uncordon it or name another node",
};
/// `spec.target.nodeName` has an agent.
pub const TARGET_NODE_AGENT: CheckInfo = CheckInfo {
    name: "TargetNodeAgent",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a node without an agent that is ready (`TargetNodeWithoutAgent`)",
    why: "the agent restores",
    cure: "look at the godwit-agent pod of that node",
};
/// Some node can be the destination.
pub const TARGET_NODES: CheckInfo = CheckInfo {
    name: "TargetNodes",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a selector, or a cluster, in which no node can be the destination (`NoUsableNode`)",
    why: "the scheduler would find none",
    cure: "make a node usable or choose others",
};
/// Memory can be moved as it is asked for.
pub const MEMORY: CheckInfo = CheckInfo {
    name: "Memory",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "`spec.memory: PreCopy` where the source's node cannot track writes (`PreCopyUnavailable`); with `Auto` a warning",
    why: "memory can be copied ahead only if it is known what changes",
    cure: "set `spec.memory` to `Auto` or `StopAndCopy`",
};
/// The pod has all of its memory.
pub const MEMORY_FILLED: CheckInfo = CheckInfo {
    name: "MemoryFilled",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a pod that has come by a migration and does not have all of its memory yet (`MemoryNotFilled`)",
    why: "a part of it is known to nobody but the page server of its node",
    cure: "wait until that migration has succeeded",
};
/// The API server would take the target pod.
pub const TARGET_ADMITTED: CheckInfo = CheckInfo {
    name: "TargetAdmitted",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a target pod that the API server, asked in a dry run, would not take: a quota, a limit range, pod security, a webhook (`TargetRefused`)",
    why: "source and target both count for as long as a migration lasts",
    cure: "what the message says",
};
/// No other migration is at the same pod.
pub const NO_OTHER_MIGRATION: CheckInfo = CheckInfo {
    name: "NoOtherMigration",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a pod that is on the move already (`AnotherMigrationOfPod`)",
    why: "two would undo each other",
    cure: "wait for the other, or cancel it",
};
/// The source's agent has looked at the pod.
pub const SOURCE_AGENT_ANSWERS: CheckInfo = CheckInfo {
    name: "SourceAgentAnswers",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a pod at which the source's agent has not looked within 10 s (`SourceAgentSilent`)",
    why: "what processes do is known on their node only",
    cure: "look at the godwit-agent pod of that node; while agents are being upgraded, try again",
};

/// All of them, in the order of the documentation.
pub const ALL: &[CheckInfo] = &[
    POD_EXISTS,
    MIRROR_POD,
    POD_RUNNING,
    POD_IS_NO_TARGET,
    HOST_NAMESPACES,
    HOST_PORTS,
    USER_NAMESPACES,
    SHARE_PROCESS_NAMESPACE,
    RUNTIME_CLASS,
    OPERATING_SYSTEM,
    TERMINAL,
    DEVICES,
    SCHEDULING_GROUP,
    HOSTNAME,
    CONTAINER_NAMES,
    ADDRESS_FAMILY,
    RESTART_CONTAINERS,
    NATIVE_SIDECARS,
    POST_START_HOOK,
    EPHEMERAL_CONTAINERS,
    LIVENESS_PROBE,
    OWNER,
    VOLUMES,
    SOURCE_NODE_AGENT,
    TARGET_NODE_EXISTS,
    TARGET_NODE_DIFFERS,
    TARGET_NODE_READY,
    TARGET_NODE_SCHEDULABLE,
    TARGET_NODE_AGENT,
    TARGET_NODE_VOLUMES,
    TARGET_NODES,
    MEMORY,
    MEMORY_FILLED,
    TARGET_ADMITTED,
    NO_OTHER_MIGRATION,
    SOURCE_AGENT_ANSWERS,
];
