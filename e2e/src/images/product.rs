//! Godwit's own images, built from this workspace, and CRIU for the agent's.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::layer::{self, Entry, Layer};
use super::{base, closure, limits_shim, oci, programs};
use crate::cluster::node_files::lacks_sys_resource;
use crate::recipes;

/// The operator's image.
pub const OPERATOR: &str = "localhost/godwit-operator:dev";
/// The agent's image.
pub const AGENT: &str = "localhost/godwit-agent:dev";

/// Where the agent's image holds what the agent brings to its node.
const PAYLOAD: &str = "opt/godwit";
/// The static programs in its folder `bin`.
const BROUGHT: [&str; 3] = ["godwit-runtime", "godwit-park", "godwit-pages"];

/// Whether the agents are built so that tests can make them fail at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Faults {
    /// As for users: nothing of the kind is in the program.
    Absent,
    /// With the agent's feature `fault-injection`.
    OnDemand,
}

/// Build the product and write both images; gives the archives of the operator's and the agent's.
pub fn archives(faults: Faults) -> Result<[PathBuf; 2]> {
    let features: &[&str] = match faults {
        Faults::Absent => &[],
        Faults::OnDemand => &["godwit-agent/fault-injection"],
    };
    let packages = [
        "godwit-operator",
        "godwit-agent",
        "godwit-runtime",
        "godwit-memory",
    ];
    let built = programs::build_with(&packages, features)?;
    let tools = tools()?;
    Ok([operator(&built, &tools)?, agent(&built, tools)?])
}

/// A shell, for people who look at a pod that does not work.
fn tools() -> Result<Layer> {
    let entries = base::with_shell(&recipes::debian::ensure()?, ("nonroot", 65532, "/"))?;
    layer::ensure("product-tools", &entries)
}

fn operator(built: &Path, tools: &Layer) -> Result<PathBuf> {
    let path = "usr/bin/godwit-operator";
    let programs = layer::ensure(
        "operator",
        &[Entry::program(path, &built.join("godwit-operator"))],
    )?;
    let config = oci::Config {
        entrypoint: vec![format!("/{path}")],
        user: "65532:65532".to_owned(),
        ..Default::default()
    };
    oci::archive(OPERATOR, &[tools.clone(), programs], &config)
}

fn agent(built: &Path, tools: Layer) -> Result<PathBuf> {
    let criu = layer::ensure("criu", &criu()?)?;
    let path = "usr/bin/godwit-agent";
    let mut entries = vec![
        Entry::program(path, &built.join("godwit-agent")),
        Entry::program(&format!("{PAYLOAD}/criu/criu"), &built.join("criu")),
    ];
    for name in BROUGHT {
        entries.push(Entry::program(
            &format!("{PAYLOAD}/bin/{name}"),
            &built.join(name),
        ));
    }
    let programs = layer::ensure("agent", &entries)?;
    let config = oci::Config {
        entrypoint: vec![format!("/{path}")],
        ..Default::default()
    };
    oci::archive(AGENT, &[tools, criu, programs], &config)
}

/// CRIU as Debian built it, with its own loader and libraries: it runs on a node of any distribution.
fn criu() -> Result<Vec<Entry>> {
    const CRIU: &str = "/usr/sbin/criu";
    let tree = recipes::debian::ensure()?;
    let closure = closure::of(&tree, &[CRIU])?;
    let real = format!("{PAYLOAD}/criu/real");
    let mut entries: Vec<Entry> = ["opt", PAYLOAD, "opt/godwit/bin", "opt/godwit/criu"]
        .map(Entry::dir)
        .to_vec();
    entries.push(Entry::dir(&real));
    entries.push(Entry::dir(&format!("{real}/lib")));
    entries.push(Entry::program(
        &format!("{real}/criu"),
        &tree.join(CRIU.trim_start_matches('/')),
    ));
    for (name, file) in &closure.libraries {
        entries.push(Entry::program(&format!("{real}/lib/{name}"), file));
    }
    let (_, loader) = &closure.loader;
    if lacks_sys_resource() {
        entries.extend(limits_shim::entries(&real, loader)?);
    } else {
        entries.push(Entry::program(&format!("{real}/ld.so"), loader));
    }
    Ok(entries)
}
