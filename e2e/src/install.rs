//! Putting Godwit into the cluster, as a user would: with its images and its chart.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::images::product::{self, Faults};
use crate::{Cluster, command, images, paths, recipes};

/// Build the images and load them on every node; gives the archives of the operator's and the agent's.
pub fn load_images(cluster: &Cluster, faults: Faults) -> Result<[PathBuf; 2]> {
    let archives = product::archives(faults)?;
    for archive in &archives {
        cluster.load(archive)?;
    }
    Ok(archives)
}

/// Install the chart, or bring it up to date, and wait until it is ready: its definitions first, then the rest by helm.
/// `further` arguments are for helm. Fails if helm does; what it says goes to this program's own output.
pub fn chart(cluster: &Cluster, archives: &[PathBuf; 2], further: &[String]) -> Result<()> {
    let chart = paths::workspace().join("charts/godwit");
    definitions(cluster, &chart.join("crds"))?;
    let mut helm = helm(&cluster.kubeconfig())?;
    helm.args(["upgrade", "--install", "godwit"]).arg(&chart).args([
        "--namespace",
        "godwit",
        "--create-namespace",
        "--wait",
        "--timeout",
        "3m",
        "--set",
        "bindNow.enabled=true",
    ]);
    let names = [product::OPERATOR, product::AGENT];
    for ((part, image), archive) in ["operator", "agent"].into_iter().zip(names).zip(archives) {
        let (repository, tag) = image.rsplit_once(':').context("an image without a tag")?;
        helm.arg("--set").arg(format!(
            "{part}.image.repository={repository},{part}.image.tag={tag},{part}.image.pullPolicy=IfNotPresent"
        ));
        // The tag is always the same: a new annotation is what makes pods of a new image.
        let content = images::content_key(archive)?;
        helm.arg("--set-string")
            .arg(format!("{part}.podAnnotations.godwit\\.dev/image={content}"));
    }
    let status = helm.args(further).status().context("run helm")?;
    if !status.success() {
        bail!("helm: {status}");
    }
    // Helm is content before the last agent is ready.
    let mut rollout = cluster.kubectl()?;
    rollout.args([
        "rollout",
        "status",
        "daemonset/godwit-agent",
        "--namespace=godwit",
    ]);
    command::output(rollout.arg("--timeout=120s"))?;
    // And that of the agents that are replaced one after the other may be that of the one before.
    let mut labels = cluster.kubectl()?;
    labels.args([
        "wait",
        "--for=jsonpath={.metadata.labels.godwit\\.dev/agent-ready}=true",
        "node",
        "--all",
    ]);
    command::output(labels.arg("--timeout=120s")).map(drop)
}

/// Helm installs the definitions of a chart once and never brings them up to date: that is for kubectl, by force because
/// what helm has installed belongs to helm.
fn definitions(cluster: &Cluster, directory: &Path) -> Result<()> {
    let mut apply = cluster.kubectl()?;
    apply.args(["apply", "--server-side", "--force-conflicts", "--filename"]);
    command::output(apply.arg(directory))?;
    let mut wait = cluster.kubectl()?;
    wait.args([
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "--filename",
    ]);
    command::output(wait.arg(directory)).map(drop)
}

/// Load the images of the tests' pods: nodes have those of the time of their start.
pub fn test_images(cluster: &Cluster) -> Result<()> {
    for archive in images::for_tests()? {
        cluster.load(&archive)?;
    }
    Ok(())
}

/// Both.
pub fn everything(cluster: &Cluster, faults: Faults) -> Result<()> {
    let archives = load_images(cluster, faults)?;
    chart(cluster, &archives, &[])
}

/// Helm with folders of its own: what the user has set up for theirs does not matter here.
fn helm(kubeconfig: &Path) -> Result<Command> {
    let home = paths::state_dir().join("helm");
    let mut helm = Command::new(recipes::helm::ensure()?);
    helm.env("KUBECONFIG", kubeconfig)
        .env("HELM_CACHE_HOME", home.join("cache"))
        .env("HELM_CONFIG_HOME", home.join("config"))
        .env("HELM_DATA_HOME", home.join("data"));
    Ok(helm)
}
