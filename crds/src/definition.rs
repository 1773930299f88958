//! The `CustomResourceDefinition`s as YAML, generated from the types.

use kube::CustomResourceExt;
use thiserror::Error;

use crate::{NodeReport, PodMigration};

/// Name of the generated file of `PodMigration`, beside this crate and in the chart.
pub const CRD_FILE: &str = "podmigrations.godwit.dev.yaml";
/// The same of `NodeReport`.
const REPORT_FILE: &str = "nodereports.godwit.dev.yaml";

/// Why the definition could not be written as YAML.
#[derive(Debug, Error)]
#[error("a definition cannot be written as YAML")]
pub struct DefinitionError(#[from] serde_saphyr::ser_error::Error);

/// The definition of `PodMigration` as one YAML document with a line on top that says where it comes from.
///
/// Fails only where the YAML writer does, which is a bug in the types.
pub fn definition_yaml() -> Result<String, DefinitionError> {
    yaml_of::<PodMigration>()
}

/// Every definition, each with the name of its file. Fails as [`definition_yaml`] does.
pub fn definitions() -> Result<[(&'static str, String); 2], DefinitionError> {
    Ok([
        (CRD_FILE, definition_yaml()?),
        (REPORT_FILE, yaml_of::<NodeReport>()?),
    ])
}

fn yaml_of<K: CustomResourceExt>() -> Result<String, DefinitionError> {
    let yaml = serde_saphyr::to_string(&K::crd())?;
    Ok(format!(
        "# Generated from crds/src by `cargo run --bin crdgen`; do not edit.\n{yaml}"
    ))
}
