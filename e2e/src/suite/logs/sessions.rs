//! Sessions on a pod that moves away.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "exec and attach sessions of a pod that moves are told where it has gone, and end",
    |lab| Box::pin(run(lab)),
);

const BEGINS: Duration = Duration::from_secs(2);
const ENDS_WITHIN: Duration = Duration::from_secs(30);

async fn run(lab: &Lab) -> Result<()> {
    lab.workload("subject", Some("n1"), &["lines", "whole"]).await?;
    let sessions = [
        kubectl(
            lab,
            &["exec", "subject", "--", "/bin/sh", "-c", "echo begun; sleep 300"],
        )?,
        kubectl(lab, &["attach", "subject"])?,
    ];
    tokio::time::sleep(BEGINS).await;
    lab.moved("subject", "n2").await?;
    for (what, session) in ["exec", "attach"].into_iter().zip(sessions) {
        let said = ended(session).await.with_context(|| what.to_owned())?;
        let last: Vec<&str> = said.lines().rev().take(4).collect();
        println!("        {what}: {last:?}");
        ensure!(said.contains("moved to node n2"), "{what} is not told: {last:?}");
    }
    Ok(())
}

fn kubectl(lab: &Lab, words: &[&str]) -> Result<Child> {
    let mut kubectl = lab.cluster().kubectl()?;
    kubectl.args(["--namespace", lab.namespace()]).args(words);
    kubectl
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("kubectl")
}

/// What a session has shown, once it has ended.
async fn ended(child: Child) -> Result<String> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id())?);
    let waiting = tokio::task::spawn_blocking(move || child.wait_with_output());
    let began = Instant::now();
    while !waiting.is_finished() {
        if began.elapsed() > ENDS_WITHIN {
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).ok();
            bail!("it has not ended");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let output = waiting.await??;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}
