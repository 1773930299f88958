//! Faults on demand, for the tests that break a migration at every step. Release builds lack all of it.
//!
//! With the feature `fault-injection`, the file `/run/godwit/fault` of the node says what is to happen, once, as
//! `side.Step=action`: `source.Dump=fail`, `target.Restore=kill` (the agent ends as by `kill -9`) or
//! `source.AwaitPrepared=hang:5` (seconds).

use crate::failure::Failure;

/// Which side of a migration a step belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The source's agent.
    Source,
    /// The target's agent.
    Target,
}

/// Lets a fault happen at this step, if one has been asked for.
#[cfg(not(feature = "fault-injection"))]
#[allow(clippy::unused_async, reason = "the build with faults waits here")]
pub async fn point(_side: Side, _step: impl ToString + Copy) -> Result<(), Failure> {
    Ok(())
}

/// Lets a fault happen at this step, if one has been asked for.
#[cfg(feature = "fault-injection")]
pub async fn point(side: Side, step: impl ToString + Copy) -> Result<(), Failure> {
    use std::time::Duration;

    let step = step.to_string();
    let path = "/proc/1/root/run/godwit/fault";
    let Ok(text) = tokio::fs::read_to_string(path).await else {
        return Ok(());
    };
    let place = format!(
        "{}.{step}=",
        if side == Side::Source { "source" } else { "target" }
    );
    let Some(action) = text.trim().strip_prefix(&place) else {
        return Ok(());
    };
    let _ = tokio::fs::remove_file(path).await;
    tracing::warn!(%step, %action, "injected fault");
    if action == "kill" {
        let _ = nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::Signal::SIGKILL);
        std::future::pending::<()>().await;
    }
    if let Some(seconds) = action
        .strip_prefix("hang:")
        .and_then(|seconds| seconds.parse().ok())
    {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        return Ok(());
    }
    Err(Failure::new(
        step.as_str(),
        "InjectedFault",
        "a test asked for a failure at this step",
    ))
}
