//! What a node is like, as far as a process that comes from another node would notice. Its agent writes it, in one annotation; the operator
//! compares it with that of other nodes.
//!
//! Agents of two releases live together during an upgrade, and an annotation is anybody's who may write nodes: fields that are not known
//! are passed over, fields that are missing are [not known](Option), and what cannot be read is an error, which makes all of it unknown.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cpu::Cpu;

/// Longest annotation that is read or written: a real one has 2 KiB. All annotations of a node together may have 256 KiB.
const LIMIT: usize = 8 << 10;

/// What one node is like. Every field that is `None` is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeFacts {
    /// The processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Bytes of a page of memory (`sysconf(_SC_PAGESIZE)`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u64>,
    /// CRIU, and what it says that this kernel can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub criu: Option<CriuFacts>,
    /// How cgroups are mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<CgroupFacts>,
    /// Which security module gives processes labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lsm: Option<Lsm>,
    /// What a seccomp filter can have the kernel do (`/proc/sys/kernel/seccomp/actions_avail`); empty where it knows no filters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<BTreeSet<String>>,
    /// `/proc/sys/kernel/pid_max`: no process has this number or a higher one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid_max: Option<u64>,
    /// Mode of transparent huge pages: `always`, `madvise` or `never`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub huge_pages: Option<String>,
    /// Whether packets can be queued there (`nft_queue` or `xt_NFQUEUE`), as tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet_queues: Option<bool>,
    /// Versions of the conversation between agents that this one speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<ProtocolFacts>,
}

/// The CRIU that the agent has brought along.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CriuFacts {
    /// As in `criu --version`: `4.2`.
    pub version: String,
    /// Names of features (`criu check --feature NAME`) and whether it finds them here. One that is not there was not asked for, or not
    /// answered.
    pub features: BTreeMap<String, bool>,
}

/// The cgroup file systems that runc mounts into containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CgroupFacts {
    /// 1 (also if version 2 is mounted beside it) or 2.
    pub version: u8,
    /// Names of the directories below `/sys/fs/cgroup` at which hierarchies of version 1 are mounted; empty for version 2.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub hierarchies: BTreeSet<String>,
}

/// A security module, of those that CRIU knows (`kerndat_lsm`, `criu/lsm.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lsm {
    /// Of these, none.
    None,
    /// `AppArmor`.
    AppArmor,
    /// `SELinux`.
    SeLinux,
}

impl Lsm {
    /// Its own name for itself.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::AppArmor => "AppArmor",
            Self::SeLinux => "SELinux",
        }
    }
}

/// From the oldest to the newest version, both of them spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolFacts {
    /// The oldest.
    pub oldest: u32,
    /// The newest.
    pub newest: u32,
}

/// An annotation is not what an agent writes, or facts do not fit into one.
#[derive(Debug, Error)]
pub enum NodeFactsError {
    /// Longer than any agent's.
    #[error("{0} bytes, and at most {LIMIT} are read")]
    TooLong(usize),
    /// Not JSON, or of another form.
    #[error("not of the form that agents write")]
    Malformed(#[source] serde_json::Error),
}

impl NodeFactsError {
    /// Stable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "NodeFactsTooLong",
            Self::Malformed(_) => "NodeFactsMalformed",
        }
    }
}

impl NodeFacts {
    /// Reads an annotation; of anybody's hand.
    ///
    /// # Errors
    /// If it is longer than 8 KiB or not such an object.
    pub fn from_annotation(text: &str) -> Result<Self, NodeFactsError> {
        if text.len() > LIMIT {
            return Err(NodeFactsError::TooLong(text.len()));
        }
        serde_json::from_str(text).map_err(NodeFactsError::Malformed)
    }

    /// The annotation.
    ///
    /// # Errors
    /// If it would be longer than anybody reads.
    pub fn to_annotation(&self) -> Result<String, NodeFactsError> {
        let text = serde_json::to_string(self).map_err(NodeFactsError::Malformed)?;
        if text.len() > LIMIT {
            return Err(NodeFactsError::TooLong(text.len()));
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WHOLE: &str = r#"{"cpu":"x86_64;avx,sse2;xsave.size=832","pageSize":4096,"criu":{"version":"4.2","features":{"timens":true,"uffd-noncoop":false}},"cgroup":{"version":1,"hierarchies":["cpu,cpuacct","freezer"]},"lsm":"apparmor","seccomp":["allow","errno"],"pidMax":4194304,"hugePages":"madvise","packetQueues":true,"protocol":{"oldest":1,"newest":2}}"#;

    #[test]
    fn what_is_written_is_read_and_stays_as_it_is() {
        let facts = NodeFacts::from_annotation(WHOLE).unwrap();
        assert_eq!(facts.to_annotation().unwrap(), WHOLE);
        assert!(!facts.criu.as_ref().unwrap().features["uffd-noncoop"]);
        assert_eq!(facts.lsm, Some(Lsm::AppArmor));
        assert_eq!(facts.cpu.unwrap().features.len(), 2);
        assert_eq!(NodeFacts::default().to_annotation().unwrap(), "{}");
    }

    #[test]
    fn another_release_says_less_or_more() {
        assert_eq!(NodeFacts::from_annotation("{}").unwrap(), NodeFacts::default());
        let newer = r#"{"pageSize": 4096, "numa": {"nodes": 2}, "criu": {"version": "5", "build": "x"}}"#;
        let facts = NodeFacts::from_annotation(newer).unwrap();
        assert_eq!(
            (facts.page_size, facts.criu.unwrap().version.as_str()),
            (Some(4096), "5")
        );
    }

    #[test]
    fn a_foreign_hand_gives_an_error_and_nothing_else() {
        let long = format!("{{\"hugePages\": \"{}\"}}", "x".repeat(LIMIT));
        let deep = "[".repeat(4_000);
        for (text, reason) in [
            (long.as_str(), "NodeFactsTooLong"),
            (deep.as_str(), "NodeFactsMalformed"),
            ("", "NodeFactsMalformed"),
            ("true", "NodeFactsMalformed"),
            (r#"{"pageSize": -1}"#, "NodeFactsMalformed"),
            (r#"{"cpu": "a b"}"#, "NodeFactsMalformed"),
            (r#"{"lsm": "tomoyo"}"#, "NodeFactsMalformed"),
        ] {
            assert_eq!(NodeFacts::from_annotation(text).unwrap_err().reason(), reason);
        }
    }

    #[test]
    fn facts_that_do_not_fit_are_not_written() {
        let facts = NodeFacts {
            huge_pages: Some("x".repeat(LIMIT)),
            ..NodeFacts::default()
        };
        assert_eq!(facts.to_annotation().unwrap_err().reason(), "NodeFactsTooLong");
    }

    proptest! {
        #[test]
        fn no_text_does_harm(text in "[\\[\\]{}\":,a-z0-9;= -]{0,300}") {
            if let Ok(facts) = NodeFacts::from_annotation(&text) {
                let again = facts.to_annotation().unwrap();
                prop_assert_eq!(NodeFacts::from_annotation(&again).unwrap(), facts);
            }
        }
    }
}
