//! The image of every pod's sandbox: one small static program that waits.

use std::path::PathBuf;

use anyhow::Result;

use super::layer::{self, Entry};
use super::{oci, programs};
use crate::cluster::node_files::PAUSE_IMAGE;

/// The archive of the image.
pub fn archive() -> Result<PathBuf> {
    let programs = programs::ensure()?;
    let layer = layer::ensure("pause", &[Entry::program("pause", &programs.join("pause"))])?;
    let config = oci::Config {
        entrypoint: vec!["/pause".to_owned()],
        user: "65535:65535".to_owned(),
        ..Default::default()
    };
    oci::archive(PAUSE_IMAGE, &[layer], &config)
}
