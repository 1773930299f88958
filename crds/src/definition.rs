//! The `CustomResourceDefinition` as YAML, generated from the types.

use kube::CustomResourceExt;
use thiserror::Error;

use crate::PodMigration;

/// Name of the generated file, beside this crate and in the chart.
pub const CRD_FILE: &str = "podmigrations.godwit.dev.yaml";

/// Why the definition could not be written as YAML.
#[derive(Debug, Error)]
#[error("the definition of PodMigration cannot be written as YAML")]
pub struct DefinitionError(#[from] serde_saphyr::ser_error::Error);

/// The definition as one YAML document with a line on top that says where it comes from.
///
/// Fails only where the YAML writer does, which is a bug in the types.
pub fn definition_yaml() -> Result<String, DefinitionError> {
    let yaml = serde_saphyr::to_string(&PodMigration::crd())?;
    Ok(format!(
        "# Generated from crds/src by `cargo run --bin crdgen`; do not edit.\n{yaml}"
    ))
}
