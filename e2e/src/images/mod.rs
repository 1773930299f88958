//! OCI images, written without any image tool.

pub mod closure;
pub mod layer;
pub mod limits_shim;
pub mod oci;
pub mod pause;
pub mod product;
pub mod programs;
pub mod redis;
pub mod workload;

use std::path::PathBuf;

use anyhow::Result;

/// The archives of all images that pods of the tests use, made if need be. Every node has them from its start.
pub fn for_tests() -> Result<Vec<PathBuf>> {
    Ok(vec![pause::archive()?, redis::archive()?, workload::archive()?])
}
