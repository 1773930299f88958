//! The table as `docs/limits.md` has it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::row::{Row, Verdict};
use super::rows;

/// Where it is kept for `crdgen`, seen from the workspace.
pub const TABLE_FILE: &str = "crds/docs/workloads.md";

/// One line for each feature, its languages together: those that move first, then those that are refused, as they are in the rows.
pub fn table() -> String {
    let mut lines: Vec<(&Row, BTreeSet<&'static str>)> = Vec::new();
    for row in rows::all() {
        let language = row.language.as_str();
        match lines.iter_mut().find(|(line, _)| line.feature == row.feature) {
            Some((_, languages)) => {
                languages.insert(language);
            }
            None => lines.push((row, BTreeSet::from([language]))),
        }
    }
    let mut table = String::from("| feature | shown in | verdict | why |\n| --- | --- | --- | --- |\n");
    for (row, languages) in lines {
        let languages: Vec<&str> = languages.into_iter().collect();
        let (verdict, why) = match row.verdict {
            Verdict::Moves(why) => ("moves".to_owned(), why),
            Verdict::Loses(why) => ("moves, and loses it".to_owned(), why),
            Verdict::Refused(check) => (format!("refused: `{}`", check.name), check.why),
        };
        // Cannot fail for a string.
        let _ = writeln!(
            table,
            "| {} | {} | {verdict} | {why} |",
            row.feature,
            languages.join(", ")
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_documentation_is_fresh() {
        let path = crate::paths::workspace().join(TABLE_FILE);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            table(),
            "run `cargo e2e table`, then `cargo run --bin crdgen`"
        );
    }

    #[test]
    fn one_feature_has_one_verdict() {
        for row in rows::all() {
            for other in rows::all().filter(|other| other.feature == row.feature) {
                let same = match (row.verdict, other.verdict) {
                    (Verdict::Moves(one), Verdict::Moves(two))
                    | (Verdict::Loses(one), Verdict::Loses(two)) => one == two,
                    (Verdict::Refused(one), Verdict::Refused(two)) => one.name == two.name,
                    _ => false,
                };
                assert!(same, "{} and {}", row.name(), other.name());
            }
        }
    }
}
