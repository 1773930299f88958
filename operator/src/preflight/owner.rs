//! Whether the pod's owner takes a pod of another name in its place.

use godwit_crds::ACCEPTS_NEW_NAME_ANNOTATION;
use godwit_crds::checks::{CheckInfo, operator};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::Check;
use crate::facts::Observed;
use crate::owner::{self, Kind, Living, Member, Owner};
use crate::relay::Task;

const CHECK: &CheckInfo = &operator::OWNER;

/// The check. A pod without an owner passes.
pub(super) fn check(observed: &Observed, source: &Pod) -> Check {
    let Some((reason, message)) = finding(observed, source) else {
        return Check::pass(CHECK, "OwnerUnsupported");
    };
    Check::from_finding(CHECK, reason, Some(message))
}

fn finding(observed: &Observed, source: &Pod) -> Option<(&'static str, String)> {
    if let Some(member) = Member::from(source) {
        return unwanted(observed, &member);
    }
    if Task::of(&observed.role, source) == Task::Lost {
        let message = "the pod does not stand in for another one, so there is no name to bring it home to";
        return Some(("NoStandIn", message.to_owned()));
    }
    let reference = owner::reference(source)?;
    let whose = format!("{} {}", reference.kind, reference.name);
    match Kind::of(reference) {
        Kind::ReplicaSet | Kind::ReplicationController | Kind::Job => match &observed.owner {
            Some(Owner::Lives(living)) => unsuitable(living, source, &whose),
            Some(Owner::Ends(why)) => Some((
                "OwnerGone",
                format!("the pod belongs to {whose}, which {why}: the pod will go with it"),
            )),
            // Of a known kind, and not fetched: cannot be, and passing it would be the worse guess.
            None => Some(("OwnerGone", format!("{whose} has not been looked at"))),
        },
        Kind::StatefulSet => match &observed.owner {
            Some(Owner::Lives(living)) if !living.is_complete => Some((
                "OwnerGone",
                format!(
                    "the pod belongs to {whose}, which is being deleted and lets its pods go; migrate it when it has"
                ),
            )),
            Some(Owner::Lives(_)) => None,
            Some(Owner::Ends(why)) => Some((
                "OwnerGone",
                format!("the pod belongs to {whose}, which {why}: the pod will go with it"),
            )),
            None => Some(("OwnerGone", format!("{whose} has not been looked at"))),
        },
        Kind::DaemonSet => Some((
            "DaemonSetUnsupported",
            format!(
                "the pod belongs to {whose}, which has one on each node: the destination has its own; there is nothing to move"
            ),
        )),
        // A check of its own refuses mirrors.
        Kind::Node if godwit_crds::is_mirror(source) => None,
        Kind::Other
            if source
                .annotations()
                .get(ACCEPTS_NEW_NAME_ANNOTATION)
                .map(String::as_str)
                == Some("true") =>
        {
            None
        }
        Kind::Node | Kind::Other => Some((
            "OwnerUnsupported",
            format!(
                "the pod belongs to {whose}, and Godwit does not know what that does when the pod goes on under another name; if it \
                 takes over a running pod by labels and owner reference, annotate the pod {ACCEPTS_NEW_NAME_ANNOTATION}=true"
            ),
        )),
    }
}

/// Why a stand-in's workload is not wanted at home.
fn unwanted(observed: &Observed, member: &Member) -> Option<(&'static str, String)> {
    match &observed.owner {
        Some(Owner::Lives(living)) if living.is_complete => None,
        Some(Owner::Ends(why)) => Some((
            "OwnerGone",
            format!(
                "the pod stands in for {}, and {} {why}",
                member.name,
                member.owner()
            ),
        )),
        Some(Owner::Lives(_)) | None => Some((
            "OwnerGone",
            format!(
                "the pod stands in for {}, and {} lets its pods go",
                member.name,
                member.owner()
            ),
        )),
    }
}

fn unsuitable(living: &Living, source: &Pod, whose: &str) -> Option<(&'static str, String)> {
    if let Some(manager) = &living.managed_by {
        return Some((
            "OwnerUnsupported",
            format!(
                "the pod belongs to {whose}, which {manager} manages (spec.managedBy), and Godwit does not know how"
            ),
        ));
    }
    living.selection.still_sees(source.labels()).then(|| {
        (
            "OwnerSelectorUnsupported",
            format!(
                "the pod belongs to {whose}, whose selector takes pods that lack a label: it would count the target as soon as it is \
                 made; select by a label that its pods have"
            ),
        )
    })
}
