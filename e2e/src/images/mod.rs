//! OCI images, written without any image tool.

mod base;
pub mod closure;
pub mod folder;
pub mod layer;
pub mod limits_shim;
pub mod oci;
pub mod pause;
pub mod postgres;
pub mod product;
pub mod programs;
pub mod redis;
pub mod rows;
pub mod workload;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The archives of all images that pods of the tests use, made if need be. Every node has them from its start.
pub fn for_tests() -> Result<Vec<PathBuf>> {
    Ok(vec![
        pause::archive()?,
        redis::archive()?,
        workload::archive()?,
        postgres::archive()?,
    ])
}

/// A short hash of an archive: two images of one name differ in it.
pub fn content_key(archive: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update_mmap(archive)
        .with_context(|| format!("read {}", archive.display()))?;
    Ok(hasher.finalize().to_hex()[..16].to_owned())
}
