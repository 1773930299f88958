//! The shim by which CRIU reads other users' limits on a machine whose root lacks `CAP_SYS_RESOURCE`.
//!
//! The product starts its CRIU by `real/ld.so`. In the tests' image, on such a machine only, that is a program of the
//! tests which becomes the true loader and has it load the shim first; the product knows nothing of it.

use std::path::PathBuf;

use anyhow::Result;

use super::layer::Entry;
use super::programs;
use crate::{cache, command};

const SOURCE: &str = include_str!("limits_shim.c");

/// The entries that take the place of the loader in the folder `dir` of an image; `loader` is the true one.
pub fn entries(dir: &str, loader: &std::path::Path) -> Result<Vec<Entry>> {
    Ok(vec![
        Entry::program(
            &format!("{dir}/ld.so"),
            &programs::ensure()?.join("preloading-loader"),
        ),
        Entry::program(&format!("{dir}/true-ld.so"), loader),
        Entry::program(&format!("{dir}/limits-shim.so"), &library()?),
    ])
}

fn library() -> Result<PathBuf> {
    let entry = cache::ensure(
        "limits-shim",
        &[SOURCE.as_bytes(), std::env::consts::ARCH.as_bytes()],
        |dir| {
            let source = dir.join("limits_shim.c");
            std::fs::write(&source, SOURCE)?;
            command::output(
                command::bound("cc")
                    .args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
                    .arg(dir.join("limits-shim.so"))
                    .arg(&source),
            )?;
            Ok(())
        },
    )?;
    Ok(entry.join("limits-shim.so"))
}
