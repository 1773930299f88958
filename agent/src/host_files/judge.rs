//! What of a comparison refuses the move, and what its user has accepted. Pure.

use std::collections::BTreeSet;

use godwit_crds::checks;
use godwit_preflight::Finding;
use godwit_preflight::files::HostFile;
use godwit_transfer::{MAX_OTHER_FILES, MAX_OTHER_FILES_LEN};

/// Bytes of a warning.
const WARNING: usize = 1_000;

/// What follows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// The pod stays: the check, and why.
    Refused {
        /// Its name.
        check: &'static str,
        /// For people.
        message: String,
    },
    /// The pod moves.
    Moves {
        /// Paths in the containers of files that are others there, which CRIU would not take otherwise.
        other_files: Vec<String>,
        /// What was accepted.
        warnings: Vec<String>,
    },
}

/// Holds findings against `spec.accept`.
pub(crate) fn judge(findings: &[(&HostFile, Finding)], accept: &[String]) -> Judgement {
    let is_accepted = |finding: &Finding| {
        !finding.refuse
            || checks::find(finding.check).is_some_and(|check| check.acceptable)
                && accept.iter().any(|name| name == finding.check)
    };
    let refused: Vec<&Finding> = findings
        .iter()
        .map(|(_, finding)| finding)
        .filter(|finding| !is_accepted(finding))
        .collect();
    // What cannot be accepted is the better answer.
    let hard = refused
        .iter()
        .find(|it| !checks::find(it.check).is_some_and(|check| check.acceptable));
    if let Some(first) = hard.or(refused.first()) {
        let more = refused.len() - 1;
        let and = if more > 0 {
            format!(" (and {more} more)")
        } else {
            String::new()
        };
        return Judgement::Refused {
            check: first.check,
            message: format!("{}{and}", first.message),
        };
    }
    let paths: BTreeSet<&str> = findings.iter().map(|(file, _)| file.path.as_str()).collect();
    let length: usize = paths.iter().map(|path| path.len()).sum();
    if paths.len() > MAX_OTHER_FILES || length > MAX_OTHER_FILES_LEN {
        let message = format!(
            "{} files of the node differ, which spec.accept allows; more than {MAX_OTHER_FILES} cannot be let through: give both nodes the same build of them",
            paths.len()
        );
        return Judgement::Refused {
            check: checks::files::HOST_FILE_DIFFERS.name,
            message,
        };
    }
    let warning = |finding: &Finding| {
        let mut text = format!("{} was accepted: {}", finding.check, finding.message);
        text.truncate(text.floor_char_boundary(WARNING));
        text
    };
    Judgement::Moves {
        other_files: paths.into_iter().map(str::to_owned).collect(),
        warnings: findings.iter().map(|(_, finding)| warning(finding)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> HostFile {
        HostFile {
            path: path.to_owned(),
            on_node: format!("/opt{path}"),
            content: None,
            users: Vec::new(),
            needs: Vec::new(),
        }
    }

    fn finding(check: &'static str) -> Finding {
        Finding {
            check,
            refuse: true,
            container: "app".to_owned(),
            pid: Some(1),
            process: "app".to_owned(),
            object: String::new(),
            message: format!("{check} found"),
        }
    }

    fn judged(found: &[(&HostFile, &'static str)], accept: &[&str]) -> Judgement {
        let found: Vec<(&HostFile, Finding)> = found
            .iter()
            .map(|(file, check)| (*file, finding(check)))
            .collect();
        let accept: Vec<String> = accept.iter().map(|name| (*name).to_owned()).collect();
        judge(&found, &accept)
    }

    #[test]
    fn what_is_found_refuses_unless_it_is_accepted() {
        let (a, b) = (file("/a"), file("/b"));
        let found = [(&a, "HostFileDiffers"), (&b, "HostFileDiffers")];
        let Judgement::Refused { check, message } = judged(&found, &["LivenessProbe"]) else {
            panic!("moves");
        };
        assert_eq!(
            (check, message.as_str()),
            ("HostFileDiffers", "HostFileDiffers found (and 1 more)")
        );
        let Judgement::Moves {
            other_files,
            warnings,
        } = judged(&found, &["HostFileDiffers"])
        else {
            panic!("refused");
        };
        assert_eq!(other_files, ["/a", "/b"]);
        assert!(warnings.len() == 2 && warnings[0].starts_with("HostFileDiffers was accepted: "));
        assert_eq!(
            judged(&[], &[]),
            Judgement::Moves {
                other_files: Vec::new(),
                warnings: Vec::new()
            }
        );
    }

    #[test]
    fn what_nobody_can_accept_refuses_whatever_is_accepted_and_is_told_first() {
        let a = file("/a");
        for hard in ["HostSymbolMissing", "HostFileMissing"] {
            let found = [(&a, "HostFileDiffers"), (&a, hard)];
            for accept in [&["HostFileDiffers", hard][..], &[]] {
                let Judgement::Refused { check, .. } = judged(&found, accept) else {
                    panic!("moves");
                };
                assert_eq!(check, hard);
            }
        }
    }

    #[test]
    fn more_files_than_a_manifest_holds_are_refused() {
        let files: Vec<HostFile> = (0..=MAX_OTHER_FILES).map(|it| file(&format!("/{it}"))).collect();
        let found: Vec<(&HostFile, &'static str)> = files.iter().map(|it| (it, "HostFileDiffers")).collect();
        assert!(matches!(
            judged(&found, &["HostFileDiffers"]),
            Judgement::Refused { .. }
        ));
    }
}
