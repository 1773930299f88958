//! A pod with connections to PostgreSQL that commit rows all the time (`workload rows`).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;

use super::ask;
use crate::suite::{Lab, address_of};

const PORT: u16 = 7100;
/// How long rows may take to be there: the data has to be made first.
const PATIENCE: Duration = Duration::from_mins(1);

/// The client pod.
#[derive(Debug, Clone)]
pub struct Rows {
    pod: Pod,
}

/// One connection, which is never made again.
#[derive(Debug, Clone, Deserialize)]
pub struct Writer {
    /// Rows whose commit was acknowledged, numbered from 1.
    pub acknowledged: u64,
    /// The server's process that it speaks to; 0 before it is connected.
    pub backend: u32,
    /// The longest that a row took, in microseconds.
    pub longest_us: u64,
    /// Why it broke; empty while it lives.
    pub trouble: String,
}

impl Rows {
    /// Start a pod on `node` with `count` connections to `server`, and wait until each has written rows.
    pub async fn start(lab: &Lab, node: &str, server: &Pod, count: u32) -> Result<Self> {
        let (port, count) = (PORT.to_string(), count.to_string());
        let address = format!("{}:5432", address_of(server)?);
        let words = ["rows", &port, &address, &count];
        let rows = Self {
            pod: lab.workload("rows", Some(node), &words).await?,
        };
        lab.until("the first rows", PATIENCE, async || {
            let found = rows.report(lab).await;
            Ok(found
                .is_ok_and(|all| all.iter().all(|one| one.acknowledged > 0))
                .then_some(()))
        })
        .await?;
        Ok(rows)
    }

    /// All connections as they are now.
    pub async fn report(&self, lab: &Lab) -> Result<Vec<Writer>> {
        self.say(lab, "report").await
    }

    /// End all connections after the row at hand; gives the last report.
    pub async fn stop(&self, lab: &Lab) -> Result<Vec<Writer>> {
        self.say(lab, "stop").await
    }

    /// Wait until every connection has written at least 20 more rows; fails if one breaks.
    pub async fn progress(&self, lab: &Lab) -> Result<()> {
        let before = self.report(lab).await?;
        lab.until("rows on every connection", PATIENCE, async || {
            let now = self.report(lab).await?;
            for one in &now {
                ensure!(one.trouble.is_empty(), "a connection broke: {one:?}");
            }
            let mut pairs = now.iter().zip(&before);
            let all = pairs.all(|(now, before)| now.acknowledged >= before.acknowledged + 20);
            Ok(all.then_some(()))
        })
        .await
    }

    /// Ask `server` by a new connection to its present address. Fails unless each acknowledged row is there exactly once.
    pub async fn check(&self, lab: &Lab, server: &Pod) -> Result<String> {
        let answer = ask(
            lab,
            &self.pod,
            PORT,
            &format!("check {}:5432", address_of(server)?),
        )
        .await?;
        ensure!(answer.starts_with("ok "), "{answer}");
        Ok(answer)
    }

    async fn say(&self, lab: &Lab, line: &str) -> Result<Vec<Writer>> {
        let text = ask(lab, &self.pod, PORT, line).await?;
        serde_json::from_str(&text).with_context(|| format!("the client said {text}"))
    }
}
