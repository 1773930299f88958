//! What the agent says of a migration: `status.source` or `status.target`, each by a field manager of its own.
//!
//! Saying so never makes a migration wait: reports go out in the background, the newest wins, and they are tried again
//! until the API server has them or the object is gone. A report that it will not take as it is goes out with less in
//! it ([`super::plainer`]): the state in it is what others wait for.

use std::marker::PhantomData;
use std::time::Duration;

use godwit_crds::{PodMigration, SourceReport, TargetReport};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde_json::json;
use thiserror::Error;
use tokio::sync::watch;
use tracing::{info, warn};

use super::backoff::Backoff;
use super::plainer::Plainer;

/// Longest wait for one answer.
const ATTEMPT: Duration = Duration::from_secs(10);

/// A part of the status that this agent writes.
pub trait Report: Plainer + Serialize + Clone + PartialEq + Send + Sync + 'static {
    /// Its field below `status`.
    const FIELD: &'static str;
    /// Its field manager.
    const MANAGER: &'static str;
}

impl Report for SourceReport {
    const FIELD: &'static str = "source";
    const MANAGER: &'static str = "godwit-agent-source";
}

impl Report for TargetReport {
    const FIELD: &'static str = "target";
    const MANAGER: &'static str = "godwit-agent-target";
}

/// Reports of the source's agent.
pub type SourceReporter = Reporter<SourceReport>;
/// Reports of the target's agent.
pub type TargetReporter = Reporter<TargetReport>;

/// Why a flush ended without the API server having the newest report.
#[derive(Debug, Clone, Copy, Error, PartialEq, Eq)]
pub enum FlushError {
    /// The deadline passed; the report is still being tried.
    #[error("the API server has not taken the report in time")]
    Deadline,
    /// The migration is gone: there is nothing to report to.
    #[error("the PodMigration is gone")]
    Gone,
}

impl FlushError {
    /// Stable `PascalCase` reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Deadline => "ReportDeadline",
            Self::Gone => "MigrationGone",
        }
    }
}

/// Sends reports of one migration in the background. Dropped, it still sends the newest.
#[derive(Debug)]
pub struct Reporter<R> {
    newest: watch::Sender<Option<(u64, R)>>,
    progress: watch::Receiver<Progress>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    /// Number of the newest report that needs no more trying.
    done: u64,
    gone: bool,
}

impl<R: Report> Reporter<R> {
    /// For this object and no other of its name; `None` if it has no name, namespace or UID (it never came from a server).
    pub fn start(client: &Client, migration: &PodMigration) -> Option<Self> {
        let metadata = &migration.metadata;
        let api = Api::<PodMigration>::namespaced(client.clone(), metadata.namespace.as_deref()?);
        let target = ApiSink {
            api,
            name: metadata.name.clone()?,
            uid: metadata.uid.clone()?,
            report: PhantomData,
        };
        Some(Self::with_sink(target))
    }

    fn with_sink(sink: impl Sink<R>) -> Self {
        let (newest, reports) = watch::channel(None);
        let (told, progress) = watch::channel(Progress::default());
        tokio::spawn(send_all(sink, reports, told));
        Self { newest, progress }
    }

    /// Says something new; returns at once. What had not been sent yet is not sent any more; the same again is nothing.
    pub fn report(&self, report: R) {
        self.newest.send_if_modified(|newest| {
            let number = match newest {
                Some((_, old)) if *old == report => return false,
                Some((number, _)) => *number + 1,
                None => 1,
            };
            *newest = Some((number, report));
            true
        });
    }

    /// The newest report, sent or not; `None` before the first.
    pub fn newest(&self) -> Option<R> {
        self.newest.borrow().as_ref().map(|(_, report)| report.clone())
    }

    /// Waits until the API server has the newest report.
    pub async fn flush(&self, limit: Duration) -> Result<(), FlushError> {
        let wanted = self.newest.borrow().as_ref().map_or(0, |(number, _)| *number);
        let mut progress = self.progress.clone();
        let reached = progress.wait_for(|progress| progress.gone || progress.done >= wanted);
        match tokio::time::timeout(limit, reached).await {
            Ok(Ok(progress)) if !progress.gone => Ok(()),
            Ok(_) => Err(FlushError::Gone),
            Err(_) => Err(FlushError::Deadline),
        }
    }
}

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Attempt {
    Taken,
    /// The object is gone, or another has its name.
    Gone,
    /// This very report will not be taken, however often it is tried.
    Refused(String),
    /// Later, perhaps.
    Failed(String),
}

/// Where reports go; tests have one of their own.
trait Sink<R>: Send + Sync + 'static {
    fn send(&self, report: &R) -> impl Future<Output = Attempt> + Send;
}

async fn send_all<R: Report>(
    sink: impl Sink<R>,
    mut reports: watch::Receiver<Option<(u64, R)>>,
    told: watch::Sender<Progress>,
) {
    let mut backoff = Backoff::default();
    loop {
        let Some((number, report)) = reports.borrow_and_update().clone() else {
            if reports.changed().await.is_err() {
                return;
            }
            continue;
        };
        if told.borrow().done < number {
            match send(&sink, &report).await {
                Attempt::Taken => {
                    backoff.reset();
                    told.send_modify(|progress| progress.done = number);
                }
                Attempt::Gone => {
                    info!(field = R::FIELD, "the migration is gone; its reports end");
                    told.send_modify(|progress| progress.gone = true);
                    return;
                }
                // Even the barest was refused: by a policy, or a definition that may be mended. Nobody else can say it.
                Attempt::Failed(message) | Attempt::Refused(message) => {
                    info!(field = R::FIELD, message, "report not taken yet");
                    // Not cut short by a newer report: the server may be away.
                    tokio::time::sleep(backoff.next()).await;
                }
            }
            continue;
        }
        if reports.changed().await.is_err() {
            return;
        }
    }
}

/// Sends the report, or as much of it as is taken. [`Attempt::Refused`] if nothing is.
async fn send<R: Report>(sink: &impl Sink<R>, report: &R) -> Attempt {
    let mut tried = report.clone();
    let mut attempt = sink.send(report).await;
    for plainer in [report.without_figures(), report.barest()] {
        let Attempt::Refused(message) = &attempt else {
            break;
        };
        if plainer == tried {
            continue;
        }
        warn!(
            field = R::FIELD,
            message, "report refused by the API server; its state goes out without some of the rest"
        );
        attempt = sink.send(&plainer).await;
        tried = plainer;
    }
    attempt
}

struct ApiSink<R> {
    api: Api<PodMigration>,
    name: String,
    uid: String,
    report: PhantomData<fn(R)>,
}

impl<R: Report> Sink<R> for ApiSink<R> {
    async fn send(&self, report: &R) -> Attempt {
        // The UID makes it a conflict, not a new owner's status, if another object has the name by now.
        let patch = Patch::Apply(json!({
            "apiVersion": PodMigration::api_version(&()),
            "kind": PodMigration::kind(&()),
            "metadata": {"name": self.name, "uid": self.uid},
            "status": {R::FIELD: report},
        }));
        let parameters = PatchParams::apply(R::MANAGER).force();
        let sent = self.api.patch_status(&self.name, &parameters, &patch);
        match tokio::time::timeout(ATTEMPT, sent).await {
            Ok(Ok(_)) => Attempt::Taken,
            Ok(Err(error)) => attempt_of(&error),
            Err(_) => Attempt::Failed(format!("no answer within {} s", ATTEMPT.as_secs())),
        }
    }
}

fn attempt_of(error: &kube::Error) -> Attempt {
    let kube::Error::Api(status) = error else {
        return Attempt::Failed(crate::failure::chain(error));
    };
    // Forced apply knows no conflict of fields; what is left is the UID.
    if status.is_not_found() || (status.is_conflict() && status.message.to_lowercase().contains("uid")) {
        return Attempt::Gone;
    }
    // What server-side apply says of a field that the definition does not have, as an internal error.
    let undeclared = status.code == 500 && status.message.contains("field not declared in schema");
    if undeclared || status.is_invalid() || matches!(status.code, 400 | 413 | 422) {
        return Attempt::Refused(status.message.clone());
    }
    Attempt::Failed(format!("{} ({})", status.message, status.code))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use godwit_crds::{TargetMemory, TargetState};
    use kube::core::Status;

    use super::*;

    type Limit = fn(&TargetReport) -> bool;

    #[derive(Clone, Default)]
    struct Script {
        answers: Arc<Mutex<VecDeque<Attempt>>>,
        sent: Arc<Mutex<Vec<TargetState>>>,
        /// Reports that say more than that are refused.
        limit: Option<Limit>,
        gate: Option<Arc<tokio::sync::Semaphore>>,
    }

    impl Sink<TargetReport> for Script {
        async fn send(&self, report: &TargetReport) -> Attempt {
            if let Some(gate) = &self.gate {
                gate.acquire().await.unwrap().forget();
            }
            self.sent.lock().unwrap().push(report.state);
            if self.limit.is_some_and(|limit| !limit(report)) {
                return Attempt::Refused("field not declared in schema".to_owned());
            }
            self.answers.lock().unwrap().pop_front().unwrap_or(Attempt::Taken)
        }
    }

    fn report(state: TargetState) -> TargetReport {
        TargetReport {
            state,
            ..TargetReport::default()
        }
    }

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn failures_are_tried_again_and_the_newest_wins() {
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let script = Script {
            gate: Some(Arc::clone(&gate)),
            ..Script::default()
        };
        script
            .answers
            .lock()
            .unwrap()
            .push_back(Attempt::Failed("away".to_owned()));
        let reporter = Reporter::with_sink(script.clone());
        reporter.report(report(TargetState::Ready));
        tokio::task::yield_now().await;
        reporter.report(report(TargetState::Receiving));
        reporter.report(report(TargetState::Holding));
        assert_eq!(reporter.flush(Duration::ZERO).await, Err(FlushError::Deadline));
        gate.add_permits(10);
        assert_eq!(reporter.flush(LONG).await, Ok(()));
        let sent = script.sent.lock().unwrap().clone();
        assert_eq!(sent.last(), Some(&TargetState::Holding));
        assert!(!sent.contains(&TargetState::Receiving), "{sent:?}");
    }

    #[tokio::test]
    async fn the_same_again_is_not_sent() {
        let script = Script::default();
        let reporter = Reporter::with_sink(script.clone());
        for _ in 0..3 {
            reporter.report(report(TargetState::Ready));
            reporter.flush(LONG).await.unwrap();
        }
        assert_eq!(script.sent.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_state_gets_through_whatever_else_is_refused() {
        let limits: [(Limit, usize); 3] = [
            (|_| true, 1),
            (|report| report.memory.is_none(), 2),
            (|report| report.memory.is_none() && !report.resumed, 3),
        ];
        for (limit, attempts) in limits {
            let script = Script {
                limit: Some(limit),
                ..Script::default()
            };
            let reporter = Reporter::with_sink(script.clone());
            reporter.report(TargetReport {
                memory: Some(TargetMemory::default()),
                resumed: true,
                ..report(TargetState::Running)
            });
            assert_eq!(reporter.flush(LONG).await, Ok(()));
            assert_eq!(*script.sent.lock().unwrap(), vec![TargetState::Running; attempts]);
        }
    }

    #[tokio::test]
    async fn what_is_refused_altogether_is_tried_again_and_no_attempt_is_wasted_on_the_same() {
        let script = Script::default();
        let refused = Attempt::Refused("policy".to_owned());
        script.answers.lock().unwrap().extend([refused.clone(), refused]);
        let reporter = Reporter::with_sink(script.clone());
        // Nothing in it can be left out: one attempt each time.
        reporter.report(report(TargetState::Aborted));
        assert_eq!(reporter.flush(LONG).await, Ok(()));
        assert_eq!(script.sent.lock().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_gone_object_ends_it() {
        let script = Script::default();
        script.answers.lock().unwrap().push_back(Attempt::Gone);
        let reporter = Reporter::with_sink(script.clone());
        reporter.report(report(TargetState::Running));
        assert_eq!(reporter.flush(LONG).await, Err(FlushError::Gone));
        reporter.report(report(TargetState::Aborted));
        assert_eq!(reporter.flush(LONG).await, Err(FlushError::Gone));
    }

    #[tokio::test]
    async fn the_last_word_goes_out_after_its_speaker() {
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let script = Script {
            gate: Some(Arc::clone(&gate)),
            ..Script::default()
        };
        let reporter = Reporter::with_sink(script.clone());
        reporter.report(report(TargetState::Aborted));
        let progress = reporter.progress.clone();
        drop(reporter);
        gate.add_permits(1);
        let mut progress = progress;
        progress.wait_for(|progress| progress.done == 1).await.unwrap();
        assert_eq!(*script.sent.lock().unwrap(), [TargetState::Aborted]);
    }

    #[test]
    fn answers_of_the_server_are_told_apart() {
        let answer = |code: u16, message: &str, reason: &str| {
            attempt_of(&kube::Error::Api(
                Status::failure(message, reason).with_code(code).boxed(),
            ))
        };
        assert_eq!(answer(404, "not found", "NotFound"), Attempt::Gone);
        assert_eq!(
            answer(
                409,
                "Precondition failed: UID in precondition: a, UID in object meta: b",
                "Conflict"
            ),
            Attempt::Gone
        );
        assert!(matches!(answer(422, "bad", "Invalid"), Attempt::Refused(_)));
        assert!(matches!(
            answer(
                500,
                "failed to create typed patch object: .status.source.memory: field not declared in schema",
                ""
            ),
            Attempt::Refused(_)
        ));
        assert!(matches!(answer(400, "bad", "BadRequest"), Attempt::Refused(_)));
        assert!(matches!(answer(500, "etcd", "InternalError"), Attempt::Failed(_)));
        assert!(matches!(answer(403, "policy", "Forbidden"), Attempt::Failed(_)));
        assert!(matches!(
            answer(503, "away", "ServiceUnavailable"),
            Attempt::Failed(_)
        ));
    }
}
