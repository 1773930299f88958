//! A pod with connections to Redis that ask all the time.

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;

use super::ask;
use crate::suite::Lab;

const PORT: u16 = 7100;

/// A client pod.
#[derive(Debug, Clone)]
pub struct Load {
    pod: Pod,
    port: u16,
}

/// What one connection has seen since it was made.
#[derive(Debug, Clone, Deserialize)]
pub struct Connection {
    /// Its name: which way it goes.
    pub name: String,
    /// INCRs that were answered.
    pub answers: u64,
    /// The last number that came.
    pub last: u64,
    /// Numbers that never came.
    pub lost: u64,
    /// Numbers that came again.
    pub repeated: u64,
    /// How often it broke and was made again.
    pub reconnects: u64,
    /// The longest time between two answers, in microseconds.
    pub longest_us: u64,
    /// Why it broke last.
    pub trouble: String,
}

impl Load {
    /// Start a pod on `node` with a connection to each target (`name`, `address:port`), and wait until each has had answers.
    pub async fn start(lab: &Lab, name: &str, node: &str, targets: &[(String, String)]) -> Result<Self> {
        let mut words = vec!["load".to_owned(), PORT.to_string()];
        words.extend(targets.iter().map(|(name, address)| format!("{name}={address}")));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let load = Self::of(lab.workload(name, Some(node), &words).await?, PORT);
        load.progress(lab).await?;
        Ok(load)
    }

    /// The clients that run in `pod` already and answer on `port`.
    pub fn of(pod: Pod, port: u16) -> Self {
        Self { pod, port }
    }

    /// All connections as they are now.
    pub async fn report(&self, lab: &Lab) -> Result<Vec<Connection>> {
        self.say(lab, "report").await
    }

    /// The same, with the longest times forgotten.
    pub async fn reset(&self, lab: &Lab) -> Result<Vec<Connection>> {
        self.say(lab, "reset").await
    }

    /// Close all connections; gives the last report.
    pub async fn stop(&self, lab: &Lab) -> Result<Vec<Connection>> {
        self.say(lab, "stop").await
    }

    /// Wait until every connection has had at least 20 more answers.
    pub async fn progress(&self, lab: &Lab) -> Result<()> {
        let patience = std::time::Duration::from_mins(1);
        let mut before: Option<Vec<u64>> = None;
        let mut seen = Vec::new();
        let done = lab
            .until("answers on every connection", patience, async || {
                let Ok(now) = self.report(lab).await else {
                    return Ok(None);
                };
                let first = before.get_or_insert_with(|| now.iter().map(|one| one.answers).collect());
                let all = now
                    .iter()
                    .zip(first.iter())
                    .all(|(one, before)| one.answers >= before + 20);
                seen = now;
                Ok(all.then_some(()))
            })
            .await;
        done.with_context(|| format!("{seen:?}"))
    }

    async fn say(&self, lab: &Lab, line: &str) -> Result<Vec<Connection>> {
        let text = ask(lab, &self.pod, self.port, line).await?;
        serde_json::from_str(&text).with_context(|| format!("the client said {text}"))
    }
}

impl Connection {
    /// Fails if anything was lost, came twice or needed another connection.
    pub fn is_whole(&self) -> Result<()> {
        if self.lost + self.repeated + self.reconnects > 0 || self.last != self.answers {
            bail!("the connection suffered: {self:?}");
        }
        Ok(())
    }
}
