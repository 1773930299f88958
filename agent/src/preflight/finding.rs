//! What a check has found, and how the API says it. Pure.

use std::fmt::Write as _;

use godwit_crds::checks::CheckInfo;
use godwit_crds::{CheckResult, MAX_AGENT_CHECKS, Verdict};
use godwit_preflight::Finding;

/// Bytes of a message: a list of all of a pod's processes would be nobody's reading.
const MESSAGE_LIMIT: usize = 1_000;

/// A refusal that is of no process.
pub(super) fn of_node(check: &CheckInfo, message: String) -> Finding {
    Finding {
        check: check.name,
        refuse: true,
        container: String::new(),
        pid: None,
        process: String::new(),
        object: String::new(),
        message,
    }
}

/// One result for each check that was run, in their order; then those of findings whose check is not among them. Of several
/// findings of a check the worst is told, with how many more there are.
pub(super) fn results(ran: &[&CheckInfo], findings: &[Finding]) -> Vec<CheckResult> {
    let mut names: Vec<&str> = ran.iter().map(|check| check.name).collect();
    for finding in findings {
        if !names.contains(&finding.check) {
            names.push(finding.check);
        }
    }
    names.truncate(MAX_AGENT_CHECKS);
    names.into_iter().map(|name| result(name, findings)).collect()
}

fn result(name: &str, findings: &[Finding]) -> CheckResult {
    let of_it: Vec<&Finding> = findings.iter().filter(|it| it.check == name).collect();
    let told = of_it.iter().find(|it| it.refuse).or(of_it.first());
    let (verdict, mut message) = match told {
        None => (Verdict::Pass, String::new()),
        Some(it) => (
            if it.refuse { Verdict::Refuse } else { Verdict::Warn },
            it.message.clone(),
        ),
    };
    message.truncate(message.floor_char_boundary(MESSAGE_LIMIT));
    if of_it.len() > 1 {
        // Cannot fail for a string.
        let _ = write!(message, " (and {} more)", of_it.len() - 1);
    }
    CheckResult {
        check: name.to_owned(),
        verdict,
        message,
    }
}

#[cfg(test)]
mod tests {
    use godwit_crds::checks::{processes, source};

    use super::*;

    fn finding(refuse: bool, container: &str, pid: Option<u32>, message: &str) -> Finding {
        Finding {
            check: processes::PROCESS_TRACED.name,
            refuse,
            container: container.to_owned(),
            pid,
            process: pid.map(|_| "redis-server".to_owned()).unwrap_or_default(),
            object: String::new(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn a_check_without_findings_passes_and_one_with_several_tells_the_worst() {
        let ran = [&source::ENGINE, &processes::PROCESS_TRACED];
        let found = [
            finding(false, "", None, "warned of"),
            finding(true, "app", Some(7), "traced"),
            finding(true, "app", None, "too"),
        ];
        let results = results(&ran, &found);
        assert_eq!(results.len(), 2);
        assert_eq!(
            (results[0].verdict, results[0].message.as_str()),
            (Verdict::Pass, "")
        );
        assert_eq!(results[1].verdict, Verdict::Refuse);
        assert_eq!(results[1].message, "traced (and 2 more)");
    }

    #[test]
    fn warnings_alone_warn_and_what_was_not_listed_is_told_all_the_same() {
        let results = results(&[&source::ENGINE], &[finding(false, "app", None, "x")]);
        assert_eq!(results[1].verdict, Verdict::Warn);
        assert_eq!(results[1].message, "x");
    }

    #[test]
    fn however_much_is_found_the_report_is_bounded() {
        let long = finding(true, "", None, &"é".repeat(MESSAGE_LIMIT));
        let results = results(&[], &vec![long; 3]);
        assert!(results[0].message.len() < MESSAGE_LIMIT + 32);
        assert!(results[0].message.ends_with("(and 2 more)"));
    }
}
