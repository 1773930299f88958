//! `docs/limits.md`: prose from a template, tables from the list.

use std::fmt::Write as _;

use super::{CheckInfo, cpu, files, later, nodes, operator, processes, source};

/// Where the page is, seen from this crate.
pub const LIMITS_FILE: &str = "../docs/limits.md";

const TEMPLATE: &str = include_str!("../../docs/limits.md.in");

/// What `cargo e2e table` makes of the workloads that are tried in a cluster, and the line in whose place it comes.
const WORKLOADS: (&str, &str) = ("{{workloads}}", include_str!("../../docs/workloads.md"));

/// The lines of the template in whose place a table comes, and which.
const TABLES: &[(&str, &[&[CheckInfo]])] = &[
    ("{{operator}}", &[operator::ALL]),
    ("{{nodes}}", &[cpu::ALL, nodes::ALL]),
    ("{{source}}", &[source::ALL, processes::ALL]),
    ("{{files}}", &[files::ALL]),
    ("{{later}}", &[later::ALL]),
];

/// The page.
pub fn limits_page() -> String {
    let mut page = String::from(
        "<!-- Generated from crds/docs/limits.md.in and crds/src/checks by `cargo run --bin crdgen`; do not edit. -->\n",
    );
    for line in TEMPLATE.lines() {
        if let Some((_, checks)) = TABLES.iter().find(|(mark, _)| *mark == line) {
            page.push_str(&table(checks));
        } else if line == WORKLOADS.0 {
            page.push_str(WORKLOADS.1);
        } else {
            page.push_str(line);
            page.push('\n');
        }
    }
    page
}

fn table(groups: &[&[CheckInfo]]) -> String {
    let mut table = String::from(
        "| check | run by | verdict | of what | why | cure |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for check in groups.iter().copied().flatten() {
        let verdict = match (check.only_warns(), check.acceptable) {
            (true, _) => "warns",
            (false, true) => "refuses; acceptable",
            (false, false) => "refuses",
        };
        let by = check.runs_by.as_str();
        let CheckInfo {
            name,
            refuses,
            why,
            cure,
            ..
        } = check;
        let what = refuses.strip_prefix("Warns ").unwrap_or(refuses);
        // Cannot fail for a string.
        let _ = writeln!(table, "| `{name}` | {by} | {verdict} | {what} | {why} | {cure} |");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks;

    #[test]
    fn every_check_is_on_the_page_once() {
        let page = limits_page();
        for check in checks::all() {
            let row = format!("| `{}` | {} |", check.name, check.runs_by.as_str());
            assert_eq!(page.matches(&row).count(), 1, "{}", check.name);
        }
        assert!(!page.contains("{{"), "a mark without a table");
    }
}
