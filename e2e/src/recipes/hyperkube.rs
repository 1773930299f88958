//! All of Kubernetes as one binary, built from its Go module.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{cache, command};

use super::go;

/// The version of Kubernetes that the cluster runs.
pub const VERSION: &str = "v1.37.2";
const MODULE: &str = "k8s.io/kubernetes";
const MAIN: &str = include_str!("hyperkube/main.go");

/// The names by which the binary is called; kubectl is one of them.
pub const COMPONENTS: &[&str] = &[
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
];

/// A folder with the binary `hyperkube` and a symbolic link to it for each component. Minutes the first time.
pub fn ensure() -> Result<PathBuf> {
    // Without a version in the binary the nodes would call themselves v0.0.0.
    let flags = format!("-s -w -X k8s.io/component-base/version.gitVersion={VERSION}");
    let names = COMPONENTS.join(" ");
    let inputs = [
        MAIN.as_bytes(),
        VERSION.as_bytes(),
        flags.as_bytes(),
        names.as_bytes(),
        std::env::consts::ARCH.as_bytes(),
    ];
    cache::ensure("kubernetes", &inputs, |dir| {
        let source = tempfile::tempdir_in(dir)?;
        let found = command::output(
            go::tool()?
                .current_dir(source.path())
                .args(["mod", "download", "-json"])
                .arg(format!("{MODULE}@{VERSION}")),
        )?;
        let found: Value = serde_json::from_str(&found).context("read what go mod download says")?;
        let its_mod = found["GoMod"]
            .as_str()
            .context("go mod download names no go.mod")?;
        let its_mod = command::output(
            go::tool()?
                .current_dir(source.path())
                .args(["mod", "edit", "-json", its_mod]),
        )?;
        let its_mod: Value = serde_json::from_str(&its_mod).context("read what go mod edit says")?;
        std::fs::write(source.path().join("go.mod"), module_file(&its_mod)?)?;
        std::fs::write(source.path().join("main.go"), MAIN)?;
        command::logged(
            go::tool()?
                .current_dir(source.path())
                .args([
                    "build",
                    "-mod=mod",
                    "-trimpath",
                    "-tags",
                    "providerless",
                    "-ldflags",
                    &flags,
                    "-o",
                ])
                .arg(dir.join("hyperkube"))
                .arg("."),
            &dir.join("log"),
        )?;
        for component in COMPONENTS {
            std::os::unix::fs::symlink("hyperkube", dir.join(component))?;
        }
        Ok(())
    })
}

/// A `go.mod` that builds against the module: Kubernetes replaces its libraries by folders of its own source tree,
/// which do not count for others; the same libraries are published as modules, v1.x there being v0.x.
fn module_file(kubernetes: &Value) -> Result<String> {
    let mut text = format!(
        "module hyperkube\n\ngo {}\n\nrequire {MODULE} {VERSION}\n",
        kubernetes["Go"]
            .as_str()
            .context("the module of Kubernetes names no version of Go")?
    );
    for require in kubernetes["Require"].as_array().into_iter().flatten() {
        if let (Some(path), Some(version)) = (require["Path"].as_str(), require["Version"].as_str()) {
            writeln!(text, "require {path} {version}")?;
        }
    }
    let published = VERSION.replacen("v1.", "v0.", 1);
    for replace in kubernetes["Replace"].as_array().into_iter().flatten() {
        let folder = replace["New"]["Path"]
            .as_str()
            .is_some_and(|path| path.starts_with("./"));
        if let (true, Some(path)) = (folder, replace["Old"]["Path"].as_str()) {
            writeln!(text, "replace {path} => {path} {published}")?;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn libraries_in_the_source_tree_become_their_published_modules() {
        let text = super::module_file(&json!({
            "Go": "1.26.0",
            "Require": [{"Path": "k8s.io/api", "Version": "v0.0.0"}, {"Path": "example.org/x", "Version": "v1.2.3"}],
            "Replace": [
                {"Old": {"Path": "k8s.io/api"}, "New": {"Path": "./staging/src/k8s.io/api"}},
                {"Old": {"Path": "example.org/x"}, "New": {"Path": "example.org/y", "Version": "v1.0.0"}},
            ],
        }))
        .unwrap();
        assert!(text.contains("require example.org/x v1.2.3\n"));
        assert!(text.contains("replace k8s.io/api => k8s.io/api v0."));
        assert!(!text.contains("example.org/y"));
    }
}
