//! A look from inside a container, as a user takes it.

use anyhow::Result;

use super::Lab;
use crate::command;

/// What a program writes in the first container of a pod, by `kubectl exec`.
pub(super) async fn exec(lab: &Lab, pod: &str, words: &[&str]) -> Result<String> {
    let mut kubectl = lab.cluster().kubectl()?;
    kubectl
        .args(["--request-timeout=20s", "-n", lab.namespace(), "exec", pod, "--"])
        .args(words);
    tokio::task::spawn_blocking(move || command::output(&mut kubectl)).await?
}
