//! Answers a report whenever its node's agent has looked, and now and then without.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use godwit_crds::{AgentLook, NodeReport, NodeReportStatus, is_ignored};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::controller::{Action, Config, Error};
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use thiserror::Error;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::answer::{Known, answer, known};
use crate::observe::{ObserveError, Shared, unasked};

/// Field manager of everything in a report's status but `agent`.
const MANAGER: &str = "godwit-operator-report";
/// What the operator knows changes without the agent's seeing it: nodes, owners, claims.
const AGAIN: Duration = Duration::from_mins(5);
/// After an error.
const RETRY: Duration = Duration::from_secs(30);
/// For all of a node's pods; the client has its own, shorter, deadline for each call.
const DEADLINE: Duration = Duration::from_mins(2);

/// Why a report was not answered; it is tried again.
#[derive(Debug, Error)]
pub enum AnswerError {
    /// Facts are missing.
    #[error("observing failed")]
    Observe(#[from] ObserveError),
    /// The answer was not stored.
    #[error("cannot store the report")]
    Store(#[source] kube::Error),
    /// It took too long.
    #[error("the API server did not answer within {limit} s", limit = DEADLINE.as_secs())]
    Deadline,
}

impl AnswerError {
    /// Stable.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Observe(error) => error.reason(),
            Self::Store(_) => "ReportNotStored",
            Self::Deadline => "DeadlineExceeded",
        }
    }
}

struct Context {
    client: Client,
    memory: Mutex<Memory>,
}

/// What lasts from one report to the next.
#[derive(Default)]
struct Memory {
    shared: Shared,
    /// By the report's UID: when it was answered, and which look of the agent. By that the operator's own writing is told apart.
    answered: HashMap<String, (Instant, LookId)>,
}

/// When the agent looked, and for whom.
type LookId = (Time, Option<String>);

/// Works until told to end. One report after the other: nobody is in a hurry, and the API server is everybody's.
pub async fn run(client: Client, end: CancellationToken) {
    let context = Arc::new(Context {
        client: client.clone(),
        memory: Mutex::default(),
    });
    Controller::new(Api::<NodeReport>::all(client), watcher::Config::default())
        .with_config(Config::default().concurrency(1))
        .graceful_shutdown_on(end.cancelled_owned())
        .run(reconcile, on_error, context)
        .fold(false, async |said, answered| unwatched(said, answered.err()))
        .await;
}

/// Says once that the watch is interrupted: without a definition it would be for ever. Gives whether that has been said.
fn unwatched(said: bool, error: Option<Error<AnswerError, watcher::Error>>) -> bool {
    match error {
        None => false,
        Some(Error::QueueError(error)) => {
            if !said {
                tracing::warn!(
                    %error,
                    "the watch of the nodes' reports is interrupted; it goes on by itself. Without a definition of NodeReport there are \
                     no reports: kubectl apply --server-side -f charts/godwit/crds"
                );
            }
            true
        }
        // Told by `on_error`.
        Some(_) => said,
    }
}

async fn reconcile(report: Arc<NodeReport>, context: Arc<Context>) -> Result<Action, AnswerError> {
    let status = report.status.clone().unwrap_or_default();
    // Without a look there is nothing to answer; it comes as a change.
    let Some(look) = status.agent.clone() else {
        return Ok(Action::await_change());
    };
    let uid = report.uid().unwrap_or_default();
    let id: LookId = (look.observed_at.clone(), look.answered.clone());
    let mut memory = context.memory.lock().await;
    if let Some((at, before)) = memory.answered.get(&uid)
        && *before == id
        && let Some(left) = AGAIN.checked_sub(at.elapsed()).filter(|left| !left.is_zero())
    {
        return Ok(Action::requeue(left));
    }
    let began = Instant::now();
    let node = report.name_any();
    let work = Box::pin(answered(&context.client, &mut memory.shared, &node, &look));
    let new = tokio::time::timeout(DEADLINE, work)
        .await
        .map_err(|_| AnswerError::Deadline)??;
    let is_news = is_news(&status, &new);
    if is_news {
        store(&context.client, &report, &new).await?;
    }
    tracing::info!(%node, pods = new.pods.len(), is_news, took = ?began.elapsed(), "answered a node's report");
    // Those of nodes that are gone go, too.
    memory.answered.retain(|_, (at, _)| at.elapsed() < AGAIN * 2);
    memory.answered.insert(uid, (began, id));
    Ok(Action::requeue(AGAIN))
}

/// True if the operator's part is another one.
fn is_news(before: &NodeReportStatus, new: &NodeReportStatus) -> bool {
    let own = |status: &NodeReportStatus| NodeReportStatus {
        agent: None,
        ..status.clone()
    };
    own(before) != own(new)
}

async fn answered(
    client: &Client,
    shared: &mut Shared,
    node: &str,
    look: &AgentLook,
) -> Result<NodeReportStatus, ObserveError> {
    let here = ListParams::default().fields(&format!("spec.nodeName={node}"));
    let listed = Api::<Pod>::all(client.clone()).list(&here).await;
    let listed = listed.map_err(|error| ObserveError::Read("the pods of a node", error))?;
    let (ignored, pods): (Vec<Pod>, Vec<Pod>) = listed.items.into_iter().partition(is_ignored);
    let mut all: Vec<Known> = Vec::with_capacity(pods.len());
    for pod in pods {
        all.extend(known(&Box::pin(unasked(client, shared, pod)).await?));
    }
    Ok(answer(node, all, ignored.len(), look))
}

/// Everything but the agent's part; a conflict, not another object's status, if the report was replaced meanwhile.
async fn store(client: &Client, report: &NodeReport, status: &NodeReportStatus) -> Result<(), AnswerError> {
    let patch = Patch::Apply(json!({
        "apiVersion": NodeReport::api_version(&()),
        "kind": NodeReport::kind(&()),
        "metadata": {"name": report.name_any(), "uid": report.metadata.uid},
        "status": status,
    }));
    let parameters = PatchParams::apply(MANAGER).force();
    let reports: Api<NodeReport> = Api::all(client.clone());
    let stored = reports
        .patch_status(&report.name_any(), &parameters, &patch)
        .await;
    stored.map(drop).map_err(AnswerError::Store)
}

#[allow(clippy::needless_pass_by_value, reason = "the controller's signature")]
fn on_error(report: Arc<NodeReport>, error: &AnswerError, _: Arc<Context>) -> Action {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(
        node = report.name_any(),
        reason = error.reason(),
        cause = cause.unwrap_or_default(),
        "{error}; trying again"
    );
    Action::requeue(RETRY)
}
