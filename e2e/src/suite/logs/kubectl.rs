//! `kubectl logs`, as a user calls it.

use std::path::PathBuf;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};

use crate::suite::Lab;

/// What `kubectl logs` shows of a container.
pub(super) async fn logs(lab: &Lab, pod: &str, container: &str) -> Result<String> {
    let (cluster, namespace) = (lab.cluster().clone(), lab.namespace().to_owned());
    let (pod, container) = (pod.to_owned(), container.to_owned());
    tokio::task::spawn_blocking(move || {
        let mut kubectl = cluster.kubectl()?;
        kubectl.args(["logs", "--namespace", &namespace, &pod, "--container", &container]);
        let output = kubectl.stdin(Stdio::null()).output().context("kubectl logs")?;
        if !output.status.success() {
            bail!("kubectl logs {pod}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    })
    .await?
}

/// `kubectl logs --follow`, until it is asked for what it has shown.
pub(super) struct Follow {
    child: Child,
    shown: PathBuf,
}

impl Follow {
    pub(super) fn start(lab: &Lab, pod: &str, container: &str) -> Result<Self> {
        let shown = std::env::temp_dir().join(format!("{}-{pod}-{container}.log", lab.namespace()));
        let file = std::fs::File::create(&shown).context("a file for kubectl's output")?;
        let mut kubectl = lab.cluster().kubectl()?;
        kubectl.args(["logs", "--follow", "--namespace", lab.namespace()]);
        let child = kubectl
            .args([pod, "--container", container])
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(Stdio::null())
            .spawn()
            .context("kubectl logs --follow")?;
        Ok(Self { child, shown })
    }

    pub(super) fn shown(self) -> Result<String> {
        std::fs::read_to_string(&self.shown).context("what kubectl has shown")
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_file(&self.shown).ok();
    }
}
