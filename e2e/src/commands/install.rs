use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;
use godwit_e2e::{Cluster, images, paths, recipes};

/// Build Godwit's images, load them on every node and install the chart
#[derive(Debug, Args)]
pub(super) struct Install {
    /// Build and load the images only
    #[arg(long)]
    images_only: bool,
    /// Further arguments for `helm upgrade --install`
    #[arg(last = true)]
    helm: Vec<String>,
}

impl Install {
    pub(super) fn run(self) -> Result<ExitCode> {
        let cluster = Cluster::running()?;
        let archives = images::product::archives()?;
        for archive in &archives {
            cluster.load(archive)?;
        }
        if self.images_only {
            return Ok(ExitCode::SUCCESS);
        }
        let chart = paths::workspace().join("charts/godwit");
        if !chart.join("Chart.yaml").exists() {
            bail!("there is no chart in {}", chart.display());
        }
        let mut helm = helm(&cluster.kubeconfig())?;
        helm.args(["upgrade", "--install", "godwit"]).arg(&chart).args([
            "--namespace",
            "godwit",
            "--create-namespace",
            "--wait",
            "--timeout",
            "3m",
        ]);
        let images = [images::product::OPERATOR, images::product::AGENT];
        for ((part, image), archive) in ["operator", "agent"].into_iter().zip(images).zip(&archives) {
            let (repository, tag) = image.rsplit_once(':').context("an image without a tag")?;
            helm.arg("--set").arg(format!(
                "{part}.image.repository={repository},{part}.image.tag={tag},{part}.image.pullPolicy=IfNotPresent"
            ));
            // The tag is always the same: a new annotation is what makes pods of a new image.
            let content = images::content_key(archive)?;
            helm.arg("--set-string")
                .arg(format!("{part}.podAnnotations.godwit\\.dev/image={content}"));
        }
        let status = helm.args(self.helm).status().context("run helm")?;
        Ok(super::passed_on(status))
    }
}

/// Helm with folders of its own: what the user has set up for theirs does not matter here.
fn helm(kubeconfig: &std::path::Path) -> Result<Command> {
    let home: PathBuf = paths::state_dir().join("helm");
    let mut helm = Command::new(recipes::helm::ensure()?);
    helm.env("KUBECONFIG", kubeconfig)
        .env("HELM_CACHE_HOME", home.join("cache"))
        .env("HELM_CONFIG_HOME", home.join("config"))
        .env("HELM_DATA_HOME", home.join("data"));
    Ok(helm)
}
