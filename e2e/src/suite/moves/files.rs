//! Written files arrive as they were.

use anyhow::{Result, bail, ensure};

use super::programs::fine;
use crate::suite::{Behaviour, Lab};
use crate::traffic::ask;

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "written, removed and replaced files move with owners, modes, times, attributes, links and holes",
    |lab| Box::pin(run(lab)),
);

async fn run(lab: &Lab) -> Result<()> {
    let pod = lab
        .workload("subject", Some("n1"), &["files", "7000", "/srv/tree"])
        .await?;
    fine(lab, &pod).await?;
    let before = ask(lab, &pod, 7000, "list").await?;
    // The list is worth something only if what matters is in it.
    for part in [
        "sparse=true",
        "user.note",
        "security.capability",
        "links=3(group 0)",
        "1234:4321",
        "etc/group absent",
    ] {
        ensure!(before.contains(part), "the list lacks {part}: {before}");
    }
    let pod = lab.moved("subject", "n2").await?;
    let after = ask(lab, &pod, 7000, "list").await?;
    same(&before, &after)?;
    fine(lab, &pod).await
}

fn same(before: &str, after: &str) -> Result<()> {
    if before == after {
        return Ok(());
    }
    let (was, is): (Vec<&str>, Vec<&str>) = (before.split('\t').collect(), after.split('\t').collect());
    let gone: Vec<&&str> = was.iter().filter(|line| !is.contains(line)).collect();
    let fresh: Vec<&&str> = is.iter().filter(|line| !was.contains(line)).collect();
    bail!("before: {gone:#?}\nafter: {fresh:#?}")
}
