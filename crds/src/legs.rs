//! A migration that takes two: away to a stand-in, and home to a pod that has the name again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::FreezeTimings;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Leg {
    /// From the pod to its stand-in, whose name is another one.
    Away,
    /// From the stand-in to a new pod that has the pod's name.
    Home,
}

impl Leg {
    /// In small letters, as a part of names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Home => "home",
        }
    }
}

/// A leg of a migration: a `PodMigration` of its own, which the operator has made. Only what is listed here is a leg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LegReport {
    /// Which.
    pub leg: Leg,
    /// Name of the leg's `PodMigration`.
    pub migration: String,
    /// Its UID; written when it has been made, and it begins only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Name of the pod to which it moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// How long it froze the pod, once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<FreezeTimings>,
}
