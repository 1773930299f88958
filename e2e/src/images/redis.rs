//! Redis from the node tree, with a shell and its usual tools.

use std::path::PathBuf;

use anyhow::Result;

use super::{base, closure, layer, oci};
use crate::recipes;

/// The image's name.
pub const IMAGE: &str = "localhost/redis:1";

/// The archive of the image. Redis runs as whatever user the pod says; it keeps its data in `/data`.
pub fn archive() -> Result<PathBuf> {
    let tree = recipes::debian::ensure()?;
    let mut entries = closure::entries(&tree, &["/usr/bin/redis-server", "/usr/bin/redis-cli"])?;
    entries.extend(base::busybox(&tree)?);
    entries.extend(base::common(("redis", 999, "/data")));
    entries.push(base::for_all("data"));
    let layer = layer::ensure("redis", &entries)?;
    let config = oci::Config {
        entrypoint: vec!["/usr/bin/redis-server".to_owned()],
        command: ["--protected-mode", "no", "--save", "", "--dir", "/data"]
            .map(str::to_owned)
            .to_vec(),
        directory: "/data".to_owned(),
        ..Default::default()
    };
    oci::archive(IMAGE, &[layer], &config)
}
