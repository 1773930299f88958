//! The way back before the commit: the target pod goes, and only when it is gone is the migration `Failed`.

use std::time::Duration;

use godwit_crds::{ConditionType, MigrationPhase, condition};

use super::step::{Action, Step, elapsed};
use crate::facts;

const TICK: Duration = Duration::from_secs(1);
/// A target pod whose kubelet is away is removed without it after this long. Nothing of the user's runs in it: it is
/// parked or held, and its source did not commit.
const KUBELET_AWAY: Duration = Duration::from_mins(1);
/// After this long even a live kubelet is not waited for any more; the message then names what is left.
const GIVE_UP: Duration = Duration::from_mins(5);

pub(super) fn decide(step: &mut Step<'_>) {
    let Some(target) = step.observed.own_target() else {
        return ended(step, None);
    };
    let (Some(name), Some(uid)) = (target.metadata.name.clone(), target.metadata.uid.clone()) else {
        return;
    };
    step.look_again(TICK);
    let Some(deleted) = &target.metadata.deletion_timestamp else {
        return step.act(Action::DeleteTarget { name, uid, grace: 1 });
    };
    let node = target.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let kubelet_lives = node
        .and_then(|node| step.observed.node(node))
        .is_some_and(facts::is_node_ready);
    let waited = elapsed(deleted.0, step.now);
    if waited > GIVE_UP && kubelet_lives {
        let left = format!(
            "; pod {name} is still terminating on {}, look at its kubelet and finalizers",
            node.unwrap_or("its node")
        );
        ended(step, Some(&left));
    } else if waited > GIVE_UP + KUBELET_AWAY {
        ended(
            step,
            Some(&format!("; pod {name} is still there, look at its finalizers")),
        );
    } else if waited > KUBELET_AWAY && !kubelet_lives {
        step.act(Action::DeleteTarget { name, uid, grace: 0 });
    }
}

fn ended(step: &mut Step<'_>, note: Option<&str>) {
    let Some(why) = condition(&step.status.conditions, ConditionType::Succeeded).cloned() else {
        return;
    };
    step.enter(
        MigrationPhase::Failed,
        &why.reason,
        format!("{}{}", why.message, note.unwrap_or_default()),
    );
    step.release();
}
