//! Checks that look at the pod's memory.

use godwit_crds::checks::{CheckInfo, operator};
use godwit_crds::{MEMORY_TRACKING_LABEL, MemoryMode, TrackingMethod};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::Check;
use crate::facts::Observed;
use crate::reason;

const CHECK: &CheckInfo = &operator::MEMORY;

/// Whether the source's node can track writes, as its agent has probed and written on the node, and what that means
/// for `spec.memory`. Where the agent does not say, it decides when the migration gets to it.
pub(super) fn tracking(observed: &Observed, source: &Pod) -> Check {
    let node = source
        .spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .unwrap_or_default();
    let method = observed
        .node(node)
        .and_then(|node| node.labels().get(MEMORY_TRACKING_LABEL))
        .and_then(|name| TrackingMethod::from_name(name));
    let reason = reason::PRE_COPY_UNAVAILABLE;
    match (observed.migration.spec.memory, method) {
        (MemoryMode::StopAndCopy, _)
        | (MemoryMode::Auto, None)
        | (_, Some(TrackingMethod::WriteProtect | TrackingMethod::SoftDirty)) => Check::pass(CHECK, reason),
        (MemoryMode::Auto, Some(TrackingMethod::None)) => Check::warn(
            CHECK,
            reason,
            format!(
                "node {node} cannot track writes (its kernel has neither write protection by userfaultfd nor soft-dirty bits), so all memory is copied during the freeze, which grows with it"
            ),
        ),
        (MemoryMode::PreCopy, Some(TrackingMethod::None)) => Check::from_finding(
            CHECK,
            reason,
            Some(format!(
                "spec.memory is PreCopy, and node {node} cannot track writes (its kernel has neither write protection by userfaultfd nor soft-dirty bits); set spec.memory to Auto or StopAndCopy"
            )),
        ),
        (MemoryMode::PreCopy, None) => Check::warn(
            CHECK,
            reason,
            format!(
                "the agent on {node} does not say whether it can track writes ({MEMORY_TRACKING_LABEL}); it refuses later if it cannot"
            ),
        ),
    }
}

/// A pod that came by a migration can move again only when it has all of its memory: until then a part of it is known
/// to the node that fills it in, and to nobody else.
pub(super) fn filled(observed: &Observed) -> Check {
    let filling = observed.maker.as_ref().filter(|maker| {
        let memory = maker
            .status
            .as_ref()
            .and_then(|status| status.target.as_ref()?.memory.as_ref());
        memory.is_some_and(|memory| !memory.filled)
    });
    let finding = filling.map(|maker| {
        format!(
            "the pod came by migration {} and its memory is still being filled in; wait until that has succeeded",
            maker.name_any()
        )
    });
    Check::from_finding(&operator::MEMORY_FILLED, "MemoryNotFilled", finding)
}
