//! How much a report may say: all of it is one object, of which etcd takes 1.5 MiB (`--max-request-bytes`).

use crate::{CheckResult, Verdict};

/// Pods in a report. Kubelet takes 110 by default; more than 256 are rare.
pub const MAX_REPORT_PODS: usize = 512;
/// Checks of a pod: who has cured those asks again.
pub const MAX_POD_CHECKS: usize = 4;
/// Bytes of an answered request ([`crate::LOOK_ANNOTATION`]).
pub const MAX_ANSWER: usize = 253;
/// Up to so many pods messages may be long.
const FEW: usize = 250;
/// Bytes of a message then.
const LONG: usize = 300;
/// Bytes of a message of more pods.
const SHORT: usize = 120;

/// Of one pod's checks those that refuse or warn, the refusals first, no more than [`MAX_POD_CHECKS`] and their messages cut to what
/// a report of so many pods has room for; and how many were left out. `before` were left out already.
pub fn told(
    checks: impl IntoIterator<Item = CheckResult>,
    pods: usize,
    before: u32,
) -> (Vec<CheckResult>, u32) {
    let limit = if pods > FEW { SHORT } else { LONG };
    let mut told: Vec<CheckResult> = checks
        .into_iter()
        .filter(|check| check.verdict != Verdict::Pass)
        .collect();
    told.sort_by_key(|check| check.verdict != Verdict::Refuse);
    let more = told.len().saturating_sub(MAX_POD_CHECKS);
    told.truncate(MAX_POD_CHECKS);
    for check in &mut told {
        check.message = cut(&check.message, limit);
    }
    (
        told,
        before.saturating_add(u32::try_from(more).unwrap_or(u32::MAX)),
    )
}

/// The answer to a request: as much of it as there is room for.
pub fn answer_of(asked: &str) -> String {
    asked[..asked.floor_char_boundary(MAX_ANSWER)].to_owned()
}

/// Names of processes and files may hold anything; a control character would take six bytes in JSON.
fn cut(message: &str, limit: usize) -> String {
    let plain: String = message
        .chars()
        .take(limit)
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect();
    if plain.len() == message.len() && message.len() <= limit {
        return plain;
    }
    let end = plain.floor_char_boundary(limit.saturating_sub('…'.len_utf8()));
    format!("{}…", &plain[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AgentLook, NodeReportStatus, PodLook, PodVerdict, ReportSummary};

    fn check(verdict: Verdict, message: &str) -> CheckResult {
        CheckResult {
            check: "PostStartHook".to_owned(),
            verdict,
            message: message.to_owned(),
        }
    }

    #[test]
    fn refusals_come_first_and_what_passed_is_left_out() {
        let checks = [
            check(Verdict::Pass, ""),
            check(Verdict::Warn, "w"),
            check(Verdict::Refuse, "a"),
            check(Verdict::Warn, "x"),
            check(Verdict::Refuse, "b"),
            check(Verdict::Warn, "y"),
        ];
        let (told, more) = told(checks, 1, 2);
        let messages: Vec<&str> = told.iter().map(|it| it.message.as_str()).collect();
        assert_eq!(messages, ["a", "b", "w", "x"]);
        assert_eq!(more, 3);
    }

    #[test]
    fn messages_are_cut_at_a_letter_and_say_so() {
        assert_eq!(cut("as it is", LONG), "as it is");
        assert_eq!(cut("a\nb", LONG), "a?b");
        let long = cut(&"é".repeat(LONG), LONG);
        assert!(long.len() <= LONG && long.ends_with('…'), "{long}");
        let exact = "a".repeat(LONG);
        assert_eq!(cut(&exact, LONG), exact);
    }

    #[test]
    fn an_answer_is_bounded() {
        assert_eq!(answer_of("now"), "now");
        assert_eq!(answer_of(&"é".repeat(200)).len(), 252);
    }

    /// As long as the API lets names be, with as many checks as there may be.
    #[test]
    fn the_longest_report_is_below_what_etcd_takes() {
        for pods in [FEW, MAX_REPORT_PODS] {
            let name = "n".repeat(253);
            let uid = "0".repeat(36);
            let (checks, more) = told(vec![check(Verdict::Refuse, &"p".repeat(1_000)); 9], pods, 0);
            let report = NodeReportStatus {
                summary: Some(ReportSummary::default()),
                pods: vec![
                    PodVerdict {
                        namespace: "n".repeat(63),
                        name,
                        uid: uid.clone(),
                        movable: false,
                        checks: checks.clone(),
                        more,
                    };
                    pods
                ],
                agent: Some(AgentLook {
                    observed_at: jiff::Timestamp::UNIX_EPOCH.into(),
                    answered: None,
                    pods: vec![PodLook { uid, checks, more }; pods],
                }),
                ..NodeReportStatus::default()
            };
            let size = serde_json::to_vec(&report).unwrap().len();
            assert!(size < 1_400_000, "{pods} pods: {size} bytes");
        }
    }
}
