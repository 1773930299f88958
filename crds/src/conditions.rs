//! Conditions as Kubernetes wants them: `lastTransitionTime` moves only with `status`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The conditions of a `PodMigration`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionType {
    /// The operator has taken the migration on.
    Accepted,
    /// No check refused.
    PreflightPassed,
    /// The target pod is parked on its node.
    TargetPrepared,
    /// The source has decided: the target is the workload.
    Committed,
    /// The migration is over, for good or ill.
    Succeeded,
    /// The operator asks the agents to end the migration, because its source is on its way out. Without effect after the
    /// commit.
    CalledOff,
    /// The source's owner has got the target in its place; `False`: it will not.
    Adopted,
}

impl ConditionType {
    /// The `type` string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::PreflightPassed => "PreflightPassed",
            Self::TargetPrepared => "TargetPrepared",
            Self::Committed => "Committed",
            Self::Succeeded => "Succeeded",
            Self::CalledOff => "CalledOff",
            Self::Adopted => "Adopted",
        }
    }
}

/// What a condition says of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionStatus {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// That is still to be seen.
    Unknown,
}

impl ConditionStatus {
    /// The `status` string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(is_so: bool) -> Self {
        if is_so { Self::True } else { Self::False }
    }
}

/// The condition of that type, if it is there.
pub fn condition(conditions: &[Condition], of: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == of.as_str())
}

/// Sets a condition; keeps `lastTransitionTime` where `status` stays as it was.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    of: ConditionType,
    status: ConditionStatus,
    reason: &str,
    message: &str,
    now: &Time,
) {
    let status = status.as_str();
    let fresh = |since: Time| Condition {
        type_: of.as_str().to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: since,
        observed_generation: None,
    };
    match conditions
        .iter_mut()
        .find(|condition| condition.type_ == of.as_str())
    {
        Some(old) => {
            let since = if old.status == status {
                old.last_transition_time.clone()
            } else {
                now.clone()
            };
            *old = fresh(since);
        }
        None => conditions.push(fresh(now.clone())),
    }
}
