//! Names that more than one part of Godwit must spell alike.

/// Domain of every label, annotation and finalizer of Godwit.
pub const DOMAIN: &str = "godwit.dev";
/// API group.
pub const GROUP: &str = "godwit.dev";
/// API version.
pub const VERSION: &str = "v1alpha1";
/// `RuntimeClass` of target pods, and name of the runtime handler in containerd's configuration.
pub const RUNTIME_CLASS: &str = "godwit";
/// Signer of the agents' certificates (certificates.k8s.io).
pub const SIGNER_NAME: &str = "godwit.dev/agent";
/// Node label, value `"true"`, that an agent sets when it has installed the runtime on its node and takes away when it uninstalls it;
/// the `RuntimeClass` selects nodes by it. It stays while the agent is away: pods of the class start all the same, and a kubelet that is
/// restarted meanwhile, which checks node selectors again, must not turn its running pods away.
pub const RUNTIME_LABEL: &str = "godwit.dev/runtime";
/// Node label, value `"true"`, that an agent sets while it can take part in migrations; preflight asks for it.
pub const AGENT_READY_LABEL: &str = "godwit.dev/agent-ready";
/// Node label that an agent sets with [`AGENT_READY_LABEL`]: the name of the [`crate::TrackingMethod`] by which it can track writes on its
/// node, as probed at its start; preflight goes by it. Without it preflight does not know, and the agent decides later.
pub const MEMORY_TRACKING_LABEL: &str = "godwit.dev/memory-tracking";
/// Node label that an agent sets with [`RUNTIME_LABEL`]: the [class](crate::cpu::Cpu::class) of its processor. The operator keeps target pods
/// from nodes by it. It stays while the agent is away, since the scheduler may choose a node even then.
pub const CPU_CLASS_LABEL: &str = "godwit.dev/cpu-class";
/// Node annotation that an agent sets with [`RUNTIME_LABEL`]: what its node is like, as [`crate::NodeFacts`] in JSON. Preflight compares it
/// between nodes. It stays for as long as the class does.
pub const NODE_FACTS_ANNOTATION: &str = "godwit.dev/node-facts";
/// Pod label on a target pod: the name of the migration that made it.
pub const MIGRATION_LABEL: &str = "godwit.dev/migration";
/// Pod annotation on a target pod: the name of the pod from which the chain of migrations started.
pub const ORIGIN_ANNOTATION: &str = "godwit.dev/origin";
/// Pod annotation, set by the operator when a migration has been committed: parking containers of
/// the pod end at once from then on (for example after a reboot of the node), and its containers start as any others.
pub const COMPLETED_ANNOTATION: &str = "godwit.dev/completed";
/// Finalizer on a `PodMigration`.
pub const MIGRATION_FINALIZER: &str = "godwit.dev/migration";
/// Start of the name of a parking init container of a target pod; a number from 0 follows, the highest one parks.
pub const PARK_PREFIX: &str = "godwit-park-";
/// Pod annotation on a target pod: UID of the migration that made it; a pod without it is not that migration's.
pub const MIGRATION_UID_ANNOTATION: &str = "godwit.dev/migration-uid";
/// Pod annotation on a target pod: the `affinity` that its source had before Godwit added where the pod must go, as
/// JSON, so that the next migration of the pod does not inherit this one's choice of node.
pub const AFFINITY_ANNOTATION: &str = "godwit.dev/affinity";
/// End of the DNS name in an agent's certificate: `<node>.node.godwit.dev`.
pub const NODE_DNS_SUFFIX: &str = ".node.godwit.dev";
/// Secret and `ConfigMap` in the release namespace that hold the agents' authority; agents trust key `ca.crt` of the
/// `ConfigMap`.
pub const AUTHORITY_NAME: &str = "godwit-ca";
/// Pod annotation on a target pod that its source's owner does not have yet: as JSON, what was withheld when it was made
/// (labels by which the owner selects, owner references, finalizers). It goes in the patch that gives all of that back.
pub const WITHHELD_ANNOTATION: &str = "godwit.dev/withheld";
/// Pod annotation, value `"true"`, by which a user says that the pod's owner, of a kind that Godwit does not know, takes a
/// pod of another name in its place.
pub const ACCEPTS_NEW_NAME_ANNOTATION: &str = "godwit.dev/owner-accepts-new-name";
/// `PodMigration` label, value `"true"`, while nobody but the operator may create a pod of the name in `spec.podName`; the chart's
/// admission policy selects by it.
pub const GUARD_LABEL: &str = "godwit.dev/guards-name";
/// `PodMigration` label on a leg: the UID of the migration whose leg it is. For people to list by; what a leg is, is decided by the
/// status of that migration.
pub const LEG_OF_LABEL: &str = "godwit.dev/leg-of";
/// `PodMigration` annotation on a leg: which of the two.
pub const LEG_ANNOTATION: &str = "godwit.dev/leg";
/// `NodeReport` annotation: any new value asks the node's agent to look at its pods at once; the report says to which value it is the
/// answer.
pub const LOOK_ANNOTATION: &str = "godwit.dev/look";
/// Pod label on a stand-in: the name of the pod whose workload it runs.
pub const STAND_IN_LABEL: &str = "godwit.dev/stands-in-for";
/// Pod annotation on a stand-in: as JSON, what makes a pod the one that it stands in for (name, labels, owner references).
pub const STAND_IN_ANNOTATION: &str = "godwit.dev/stand-in";
