//! Every row of the table, many at the same time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::{StreamExt as _, stream};
use godwit_crds::checks::processes::PROCESS_STOPPED;

use super::group::Group;
use super::row::{Language, Row, Verdict};
use super::rows;
use crate::images;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "every workload of the table in docs/limits.md moves and finds all that it had, or is refused by the check that the table names",
    |lab| Box::pin(run(lab)),
)
.within(Duration::from_mins(8));

/// Pods that are started, moved or looked at by the same time, on two processors.
const AT_ONCE: usize = 8;
const NODES: [&str; 3] = ["n1", "n2", "n3"];

async fn run(lab: &Lab) -> Result<()> {
    let cluster = lab.cluster().clone();
    tokio::task::spawn_blocking(move || cluster.load(&images::rows::archive()?)).await??;
    let began = Instant::now();
    let groups = groups();
    let failed = try_all(lab, &groups).await;
    println!(
        "        {} rows in {} pods, {} s",
        rows::all().count(),
        groups.len(),
        began.elapsed().as_secs()
    );
    if failed.is_empty() {
        return Ok(());
    }
    // Each of the rows that share a pod in a pod of its own, so that the one is known which is to blame.
    let singles: Vec<Group> = failed
        .iter()
        .filter(|(group, _)| group.rows.len() > 1)
        .flat_map(|(group, _)| group.apart(&NODES))
        .collect();
    let alone = try_all(lab, &singles).await;
    let wrong: Vec<String> = failed
        .iter()
        .chain(&alone)
        .map(|(group, error)| format!("{group}: {error:#}"))
        .collect();
    bail!(
        "{} pods do not do as the table says, those with several rows tried again one by one:\n    {}",
        wrong.len(),
        wrong.join("\n    ")
    );
}

/// Those that do not do as the table says.
async fn try_all<'a>(lab: &Lab, groups: &'a [Group]) -> Vec<(&'a Group, anyhow::Error)> {
    stream::iter(groups)
        .map(|group| async move { (group, try_it(lab, group).await) })
        .buffer_unordered(AT_ONCE)
        .filter_map(|(group, result)| async move {
            match result {
                Ok(said) => {
                    println!("        {group}: {said}");
                    None
                }
                Err(error) => {
                    // Now, for what follows may take longer than there is time.
                    println!("        {group} FAILED: {error:#}");
                    Some((group, error))
                }
            }
        })
        .collect()
        .await
}

async fn try_it(lab: &Lab, group: &Group) -> Result<String> {
    group.create(lab).await?;
    let running = group.runs(lab).await?;
    let result = group.judge(lab, &running).await;
    group.delete(lab).await?;
    result
}

/// Rows that move share pods with others of their language; each that is refused has one of its own.
fn groups() -> Vec<Group> {
    let mut shared: Vec<Vec<&'static Row>> = Vec::new();
    let mut single = Vec::new();
    let languages = [
        // The slow ones first.
        Language::Java,
        Language::Node,
        Language::Python,
        Language::C,
        Language::Go,
        Language::Rust,
    ];
    for language in languages {
        let (mut moving, mut losing) = (Vec::new(), Vec::new());
        for row in rows::all().filter(|row| row.language == language) {
            if !can_be_tried(row) {
                println!("        not tried here: {} ({})", row.program, row.feature);
                continue;
            }
            match row.verdict {
                Verdict::Moves(_) => moving.push(row),
                Verdict::Loses(_) => losing.push(row),
                Verdict::Refused(_) => single.push(vec![row]),
            }
        }
        for rows in [moving, losing] {
            shared.extend(rows.chunks(language.together()).map(<[_]>::to_vec));
        }
    }
    shared
        .into_iter()
        .chain(single)
        .enumerate()
        .map(|(number, rows)| {
            Group::new(
                format!("rows-{number}"),
                rows,
                NODES[number % NODES.len()].to_owned(),
            )
        })
        .collect()
}

/// Whether this machine, on whose kernel all nodes run, is one of which the row speaks.
fn can_be_tried(row: &Row) -> bool {
    let by = match row.verdict {
        Verdict::Refused(check) => check.name,
        Verdict::Moves(_) | Verdict::Loses(_) => return true,
    };
    by != PROCESS_STOPPED.name
        || std::fs::read_to_string("/proc/self/cgroup").is_ok_and(|groups| groups.contains(":freezer:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_group_and_none_that_is_refused_beside_another() {
        let groups = groups();
        let count: usize = groups.iter().map(|group| group.rows.len()).sum();
        assert_eq!(count, rows::all().filter(|row| can_be_tried(row)).count());
        for group in &groups {
            assert!(group.refused_by().is_none() || group.rows.len() == 1, "{group:?}");
            let losing = group
                .rows
                .iter()
                .filter(|row| matches!(row.verdict, Verdict::Loses(_)));
            assert!([0, group.rows.len()].contains(&losing.count()), "{group:?}");
        }
    }
}
