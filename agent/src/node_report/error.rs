//! Why a look has come to nothing; it is tried again.

use std::time::Duration;

use thiserror::Error;

/// Longest wait for one answer of the API server.
pub(super) const CALL: Duration = Duration::from_secs(10);

/// Why there is no new report.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The API server did not do it.
    #[error("cannot {0}")]
    Call(&'static str, #[source] kube::Error),
    /// The API server did not answer.
    #[error("the API server did not {0} within {limit} s", limit = CALL.as_secs())]
    Deadline(&'static str),
    /// The node's object is gone, or has no UID: nothing could own the report.
    #[error("there is no Node object {0} that could own the report")]
    NoNode(String),
}

impl ReportError {
    /// Stable `PascalCase` reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Call(..) => "ReportCallFailed",
            Self::Deadline(_) => "ReportDeadline",
            Self::NoNode(_) => "NodeMissing",
        }
    }
}

/// One call, with its deadline; `what` completes "cannot …".
pub(super) async fn call<T>(
    what: &'static str,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ReportError> {
    match tokio::time::timeout(CALL, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(ReportError::Call(what, error)),
        Err(_) => Err(ReportError::Deadline(what)),
    }
}
