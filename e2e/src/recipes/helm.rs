//! Helm, built from its Go module.

use std::path::PathBuf;

use anyhow::Result;

use crate::{cache, command};

use super::go;

/// The version of Helm that installs the chart.
pub const VERSION: &str = "v4.3.1";
const PACKAGE: &str = "helm.sh/helm/v4/cmd/helm";

/// The path of the program. Two minutes the first time.
pub fn ensure() -> Result<PathBuf> {
    let inputs = [
        PACKAGE.as_bytes(),
        VERSION.as_bytes(),
        std::env::consts::ARCH.as_bytes(),
    ];
    let entry = cache::ensure("helm", &inputs, |dir| {
        command::logged(
            go::tool()?
                .current_dir(dir)
                .env("GOBIN", dir)
                .args(["install", "-trimpath", "-ldflags", "-s -w"])
                .arg(format!("{PACKAGE}@{VERSION}")),
            &dir.join("log"),
        )
    })?;
    Ok(entry.join("helm"))
}
