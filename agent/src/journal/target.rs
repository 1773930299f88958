//! What the target writes down, and what follows from it after a crash or a failure. Pure.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One line of a target's journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum TargetEntry {
    /// Told of the migration by the API; nothing has been touched.
    Begun {
        /// Namespace of the `PodMigration`.
        namespace: String,
        /// Name of the `PodMigration`.
        name: String,
        /// UID of the target pod, under which records and images are filed.
        target_pod_uid: String,
        /// Node of the source, whose agent decides.
        source_node: String,
        /// Where that agent listens.
        source_address: String,
    },
    /// Records for the runtime are about to be made: from here on the containers of the pod park.
    Records {
        /// Container names, in order of their start.
        containers: Vec<String>,
    },
    /// Addresses are about to be added to the target's network namespace.
    Addresses {
        /// The network namespace, as a path on the node.
        netns: PathBuf,
        /// The addresses.
        addresses: Vec<String>,
    },
    /// From here on every container may be restored and held, the source may be told so, and only its verdict counts. Written before
    /// the last restore begins, so that the freeze need not wait for the disk.
    Holding,
    /// The containers have been let go and the address is carried.
    Running,
    /// Everything before this line has been undone.
    Aborted {
        /// Reason, for the report that may not have been sent yet.
        reason: String,
        /// Message, likewise.
        message: String,
    },
}

/// Where a restarted agent takes a migration up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetResume {
    /// Not even begun: forget the journal.
    Nothing,
    /// End what was restored or parked, then report.
    Abort,
    /// Undone before the crash; only the report may be missing.
    ReportAbort {
        /// Reason to report.
        reason: String,
        /// Message to report.
        message: String,
    },
    /// Hold on and ask the source.
    AskVerdict,
    /// The target runs; tell the source again, it may not have heard.
    TellRunning,
}

/// Decides from the journal alone.
pub fn resume_target(entries: &[TargetEntry]) -> TargetResume {
    match entries.last() {
        None => TargetResume::Nothing,
        Some(TargetEntry::Aborted { reason, message }) => TargetResume::ReportAbort {
            reason: reason.clone(),
            message: message.clone(),
        },
        Some(TargetEntry::Running) => TargetResume::TellRunning,
        Some(TargetEntry::Holding) => TargetResume::AskVerdict,
        Some(_) => TargetResume::Abort,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sources_verdict_counts_once_everything_is_held() {
        let run = [
            TargetEntry::Begun {
                namespace: "shop".to_owned(),
                name: "move".to_owned(),
                target_pod_uid: "uid".to_owned(),
                source_node: "n1".to_owned(),
                source_address: "192.0.2.1".to_owned(),
            },
            TargetEntry::Records {
                containers: vec!["app".to_owned()],
            },
            TargetEntry::Addresses {
                netns: PathBuf::from("netns"),
                addresses: vec![],
            },
            TargetEntry::Holding,
            TargetEntry::Running,
        ];
        let expected = [
            TargetResume::Abort,
            TargetResume::Abort,
            TargetResume::Abort,
            TargetResume::AskVerdict,
            TargetResume::TellRunning,
        ];
        for (end, expected) in expected.iter().enumerate() {
            assert_eq!(&resume_target(&run[..=end]), expected);
        }
        assert_eq!(resume_target(&[]), TargetResume::Nothing);
    }
}
