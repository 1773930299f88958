//! The loop: waits until a look is due or asked for, looks, writes what is new.

use std::sync::Arc;
use std::time::Duration;

use godwit_crds::AgentLook;
use jiff::{Timestamp, Unit};
use nix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::error::ReportError;
use super::object::OwnReport;
use super::round::round;
use super::schedule::{self, Interval};
use crate::drain::Drain;
use crate::failure::chain;
use crate::metrics::Metrics;
use crate::node::Node;

/// After a look that came to nothing.
const AGAIN: Duration = Duration::from_secs(30);

/// Keeps this node's report.
pub struct ReportKeeper {
    /// The node.
    pub node: Arc<Node>,
    /// Migrations that are at work here: no look begins beside them, and none once the agent ends.
    pub drain: Drain,
    /// Where the report's figures go.
    pub metrics: Metrics,
    /// Time between two looks.
    pub interval: Interval,
}

/// UID of the report that was written, and the request that it answered.
type Done = (String, Option<String>);

impl ReportKeeper {
    /// Works until the agent begins to end.
    pub async fn run(self) {
        let own = OwnReport::watch(&self.node.client, &self.node.name, self.metrics.clone());
        tokio::select! {
            () = self.drain.started() => {}
            () = self.keep(&own) => {}
        }
    }

    async fn keep(&self, own: &OwnReport) {
        // So that there is something to annotate.
        while let Err(error) = own.ensured().await {
            complain(&error);
            sleep(AGAIN).await;
        }
        let mut due = self
            .interval
            .first(&self.node.name)
            .map(|first| Instant::now() + first);
        let mut done: Option<Done> = None;
        loop {
            tokio::select! {
                () = own.asked(done.as_ref()) => {}
                () = until(due) => {}
            }
            match self.look(own, done.as_ref()).await {
                Ok(written) => {
                    done = Some(written);
                    due = self.interval.between().map(|interval| Instant::now() + interval);
                }
                Err(error) => {
                    complain(&error);
                    sleep(AGAIN).await;
                    due = self.interval.between().map(|_| Instant::now());
                }
            }
        }
    }

    async fn look(&self, own: &OwnReport, done: Option<&Done>) -> Result<Done, ReportError> {
        let report = own.ensured().await?;
        let (asked, urgent) = (schedule::asked(&report), schedule::is_asked(&report, done));
        let (began, spent) = (Instant::now(), spent());
        let look = AgentLook {
            pods: round(&self.node, &self.drain, urgent).await?,
            answered: asked.clone(),
            observed_at: now().into(),
        };
        let before = report.status.as_ref().and_then(|status| status.agent.as_ref());
        let is_news = schedule::is_to_write(before, &look, self.interval);
        info!(
            pods = look.pods.len(),
            is_news,
            took = ?began.elapsed(),
            cpu = ?self::spent().saturating_sub(spent),
            "looked at the node's pods"
        );
        if is_news {
            own.write(&report, &look).await?;
        }
        Ok((report.metadata.uid.clone().unwrap_or_default(), asked))
    }
}

/// As the API stores it.
fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Second).unwrap_or(now)
}

/// Processor time of this process: what else it does meanwhile is in it, too.
fn spent() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn complain(error: &ReportError) {
    warn!(
        reason = error.reason(),
        error = chain(error),
        "no report of this node's pods; it is tried again"
    );
}
