//! Programs in one pod: it starts, and moves or is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use godwit_crds::checks::CheckInfo;
use godwit_crds::{MigrationPhase, Verdict as Said};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use super::row::{PORT, Row, Verdict, spec};
use crate::migration::{Migration, told};
use crate::suite::failures::subject::{Identity, other};
use crate::suite::{Lab, node_of};
use crate::traffic::ask;

/// How long a program may take until it has looked a few times: virtual machines start slowly when many pods do.
const STARTS: Duration = Duration::from_mins(2);
/// How long a migration may take, of many at the same time.
const MOVES: Duration = Duration::from_secs(75);
/// How long a program may take to notice a loss.
const LOSES: Duration = Duration::from_secs(30);
/// How often each has to look again before it counts.
const ROUNDS: u64 = 6;

/// Programs that share a pod.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) rows: Vec<&'static Row>,
    node: String,
}

/// The pod of a group that runs, and where its programs were when it did.
pub(super) struct Running {
    pod: Pod,
    rounds: BTreeMap<String, u64>,
}

impl Group {
    /// To be started on this node.
    pub(super) fn new(name: String, rows: Vec<&'static Row>, node: String) -> Self {
        Self { name, rows, node }
    }

    /// Each of its rows in a pod of its own.
    pub(super) fn apart(&self, nodes: &[&str]) -> Vec<Self> {
        let single = |(number, row): (usize, &&'static Row)| {
            let node = nodes[number % nodes.len()].to_owned();
            Self::new(format!("{}-{number}", self.name), vec![row], node)
        };
        self.rows.iter().enumerate().map(single).collect()
    }

    /// Its verdict: that of each of its rows.
    pub(super) fn refused_by(&self) -> Option<&'static CheckInfo> {
        self.rows.iter().find_map(|row| match row.verdict {
            Verdict::Refused(check) => Some(check),
            Verdict::Moves(_) | Verdict::Loses(_) => None,
        })
    }

    fn loses(&self) -> bool {
        self.rows
            .iter()
            .any(|row| matches!(row.verdict, Verdict::Loses(_)))
    }

    /// Ask for the pod.
    pub(super) async fn create(&self, lab: &Lab) -> Result<()> {
        let mut spec = spec(&self.rows);
        spec["nodeName"] = json!(self.node);
        spec["terminationGracePeriodSeconds"] = json!(0);
        let pod = serde_json::from_value(json!({"metadata": {"name": self.name}, "spec": spec}))
            .context("the spec of a pod")?;
        lab.pods().create(&PostParams::default(), &pod).await?;
        Ok(())
    }

    /// Wait until each program has looked at what it has a few times.
    pub(super) async fn runs(&self, lab: &Lab) -> Result<Running> {
        let pod = lab.running(&self.name).await?;
        let zero = self.rows.iter().map(|row| (row.program.to_owned(), 0)).collect();
        let rounds = self.beyond(lab, &pod, &zero, STARTS).await?;
        Ok(Running { pod, rounds })
    }

    /// Show what becomes of it.
    pub(super) async fn judge(&self, lab: &Lab, running: &Running) -> Result<String> {
        match self.refused_by() {
            None => self.moves(lab, running).await,
            Some(check) => self.is_refused(lab, running, check).await,
        }
    }

    async fn moves(&self, lab: &Lab, running: &Running) -> Result<String> {
        let to = other(&self.node, 1);
        let migration = lab.migrate(&self.name, &to).await?;
        let ended = migration.ended(MOVES).await?;
        let status = ended.status.clone().unwrap_or_default();
        ensure!(
            status.phase == MigrationPhase::Succeeded,
            "it did not move: {}",
            told(&status)
        );
        let target = lab.pods().get(&Migration::target_name(&ended)?).await?;
        ensure!(node_of(&target)? == to, "it is on {}", node_of(&target)?);
        if self.loses() {
            self.lost(lab, &target).await?;
            remove(lab, &target.name_any()).await?;
            return Ok("lost, as the table says".to_owned());
        }
        // As fresh as what was seen before the move, and fresher than what is said first after it.
        let after = self.beyond(lab, &target, &running.rounds, MOVES).await?;
        self.beyond(lab, &target, &after, MOVES).await?;
        remove(lab, &target.name_any()).await?;
        let freeze = status.timings.and_then(|timings| timings.freeze);
        Ok(freeze.map_or_else(String::new, |freeze| format!("dumped in {}", freeze.dump)))
    }

    /// Wait until every program has noticed that it has lost what it is about; whoever does not is an error, for then the documentation is wrong.
    async fn lost(&self, lab: &Lab, pod: &Pod) -> Result<()> {
        let mut said = String::new();
        let noticed = lab.until("the loss to be noticed", LOSES, async || {
            let Ok(answer) = ask(lab, pod, PORT, "state").await else {
                return Ok(None);
            };
            said = answer;
            let all = said.split('\t').all(|part| part.contains("=BROKEN: after"));
            Ok(all.then_some(()))
        });
        noticed
            .await
            .with_context(|| format!("now: {}", said.replace('\t', ", ")))
    }

    async fn is_refused(&self, lab: &Lab, running: &Running, check: &CheckInfo) -> Result<String> {
        let migration = lab.migrate(&self.name, &other(&self.node, 1)).await?;
        let status = migration.ended(MOVES).await?.status.unwrap_or_default();
        ensure!(
            status.phase == MigrationPhase::Failed && status.reason.as_deref() == Some(check.name),
            "it was not refused by {}: {}",
            check.name,
            told(&status)
        );
        let by = status
            .preflight
            .iter()
            .find(|it| it.verdict == Said::Refuse && it.check == check.name);
        let message = by.map(|it| it.message.clone()).with_context(|| {
            format!(
                "{} is not among the checks that refused: {:?}",
                check.name, status.preflight
            )
        })?;
        let plan = status.plan.as_ref();
        ensure!(
            plan.is_none_or(|plan| plan.target_pod_uid.is_none()),
            "a target pod was made"
        );
        let now = lab.pods().get(&self.name).await.context("the source")?;
        ensure!(
            Identity::of(&now) == Identity::of(&running.pod) && node_of(&now)? == self.node,
            "the source was touched"
        );
        ensure!(now.metadata.deletion_timestamp.is_none(), "the source ends");
        let after = self.beyond(lab, &now, &running.rounds, MOVES).await?;
        self.beyond(lab, &now, &after, MOVES).await?;
        Ok(message)
    }

    /// Wait until each program has looked some more times than `before`; gives how often each has.
    async fn beyond(
        &self,
        lab: &Lab,
        pod: &Pod,
        before: &BTreeMap<String, u64>,
        patience: Duration,
    ) -> Result<BTreeMap<String, u64>> {
        let mut said = String::new();
        let looked = lab.until("more rounds", patience, async || {
            // It may not listen yet.
            let Ok(answer) = ask(lab, pod, PORT, "state").await else {
                return Ok(None);
            };
            said = answer;
            let now = rounds(&said)?;
            let fresh = before
                .iter()
                .all(|(name, before)| now.get(name).is_some_and(|now| *now >= before + ROUNDS));
            Ok(fresh.then_some(now))
        });
        looked
            .await
            .with_context(|| format!("before: {before:?}, now: {}", said.replace('\t', ", ")))
    }

    /// Ask for the end of its pod, if it is still there.
    pub(super) async fn delete(&self, lab: &Lab) -> Result<()> {
        remove(lab, &self.name).await
    }
}

impl std::fmt::Display for Group {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let language = self.rows.first().map_or("", |row| row.language.as_str());
        let programs: Vec<&str> = self.rows.iter().map(|row| row.program).collect();
        write!(formatter, "{} ({language}: {})", self.name, programs.join(", "))
    }
}

async fn remove(lab: &Lab, pod: &str) -> Result<()> {
    match lab.pods().delete(pod, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(drop).map_err(Into::into),
    }
}

/// What a keeper says, `NAME=ok N` separated by tabs. Fails if one of them is not well.
fn rounds(said: &str) -> Result<BTreeMap<String, u64>> {
    let mut all = BTreeMap::new();
    for part in said.split('\t') {
        let (name, line) = part.split_once('=').context("a program without a name")?;
        match line.strip_prefix("ok ") {
            Some(number) => {
                all.insert(name.to_owned(), number.parse()?);
            }
            // It has not said anything yet.
            None if line.is_empty() => {}
            None => bail!("{name} says: {line}"),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::rounds;

    #[test]
    fn a_program_that_is_not_well_is_named() {
        let well = rounds("one=ok 3\ttwo=ok 17\tthree=").unwrap();
        assert_eq!(
            well.into_iter().collect::<Vec<_>>(),
            [("one".to_owned(), 3), ("two".to_owned(), 17)]
        );
        let error = rounds("one=ok 3\ttwo=BROKEN: a=b").unwrap_err().to_string();
        assert_eq!(error, "two says: BROKEN: a=b");
        assert!(rounds("one=ok x").is_err());
    }
}
