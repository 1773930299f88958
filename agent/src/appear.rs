//! Waiting for files of a record directory, with a deadline.

use std::time::Duration;

use godwit_runtime::record::{RecordDir, RecordError};
use thiserror::Error;
use tokio::time::{Instant, sleep};

/// How often a record directory is looked at. The directories are in memory and a look is one system call; what is
/// waited for takes tens of milliseconds, so that a watch of the directory would save nothing worth its descriptors.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Why a file did not appear.
#[derive(Debug, Error)]
pub enum AppearError {
    /// Nothing came in time.
    #[error("{waited_for} did not come in time; see the containerd log of the node for what the runtime did")]
    TimedOut {
        /// What was waited for, in words.
        waited_for: &'static str,
    },
    /// The directory cannot be used.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl AppearError {
    /// Stable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TimedOut { .. } => "TimedOut",
            Self::Record(error) => error.reason(),
        }
    }
}

/// Waits until one of `names` is in the directory and gives it; `waited_for` says in words what that would be.
pub async fn appear(
    directory: &RecordDir,
    names: &[&'static str],
    waited_for: &'static str,
    deadline: Instant,
) -> Result<&'static str, AppearError> {
    loop {
        for name in names {
            if directory.has(name)? {
                return Ok(name);
            }
        }
        if Instant::now() >= deadline {
            return Err(AppearError::TimedOut { waited_for });
        }
        sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_there_is_found_and_what_is_not_times_out() {
        let dir = tempfile::tempdir().unwrap();
        let directory = RecordDir::open_handed(dir.path()).unwrap();
        let soon = Instant::now() + Duration::from_millis(20);
        let error = appear(&directory, &["go"], "the gate", soon).await.unwrap_err();
        assert_eq!(error.reason(), "TimedOut");
        directory.mark("go").unwrap();
        assert_eq!(
            appear(&directory, &["abort", "go"], "the gate", soon)
                .await
                .unwrap(),
            "go"
        );
    }
}
