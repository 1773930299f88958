//! An image archive (OCI image layout in a tar), as containerd imports it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use super::layer::{Layer, digest_of_bytes};
use crate::paths;

/// What an image is besides its files.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The program and its fixed arguments.
    pub entrypoint: Vec<String>,
    /// Arguments that a pod may replace.
    pub command: Vec<String>,
    /// `NAME=value`; PATH is there by default.
    pub environment: Vec<String>,
    /// `uid` or `uid:gid`; root if empty.
    pub user: String,
    /// Where the program starts; `/` if empty.
    pub directory: String,
}

/// Write the archive of the image called `name` (`localhost/x:1`) into the cache and give its path.
pub fn archive(name: &str, layers: &[Layer], config: &Config) -> Result<PathBuf> {
    let dir = paths::cache_dir()?.join("images");
    std::fs::create_dir_all(&dir)?;
    let path = dir.join(format!("{}.tar", name.replace(['/', ':'], "_")));
    let fresh = tempfile::NamedTempFile::new_in(&dir).context("create an image archive")?;
    write(fresh.path(), name, layers, config).with_context(|| format!("write the image {name}"))?;
    fresh
        .persist(&path)
        .with_context(|| format!("name {}", path.display()))?;
    Ok(path)
}

fn write(path: &Path, name: &str, layers: &[Layer], config: &Config) -> Result<()> {
    let architecture = if std::env::consts::ARCH == "aarch64" {
        "arm64"
    } else {
        "amd64"
    };
    let mut environment =
        vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()];
    environment.extend(config.environment.iter().cloned());
    let image = json!({
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Entrypoint": config.entrypoint,
            "Cmd": config.command,
            "Env": environment,
            "User": config.user,
            "WorkingDir": config.directory,
        },
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| &layer.digest).collect::<Vec<_>>()},
    })
    .to_string()
    .into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest_of_bytes(&image),
            "size": image.len(),
        },
        "layers": layers
            .iter()
            .map(|layer| json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": layer.digest,
                "size": layer.size,
            }))
            .collect::<Vec<_>>(),
    })
    .to_string()
    .into_bytes();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest_of_bytes(&manifest),
            "size": manifest.len(),
            "platform": {"architecture": architecture, "os": "linux"},
            "annotations": {"io.containerd.image.name": name},
        }],
    })
    .to_string()
    .into_bytes();
    let mut tar = tar::Builder::new(std::io::BufWriter::with_capacity(
        1 << 20,
        std::fs::File::create(path)?,
    ));
    let mut add = |inner: &str, content: &mut dyn std::io::Read, size: u64| -> Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_size(size);
        tar.append_data(&mut header, inner, content)?;
        Ok(())
    };
    let blob = |digest: &str| format!("blobs/{}", digest.replace(':', "/"));
    let layout: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
    add("oci-layout", &mut &*layout, layout.len() as u64)?;
    add("index.json", &mut index.as_slice(), index.len() as u64)?;
    add(
        &blob(&digest_of_bytes(&manifest)),
        &mut manifest.as_slice(),
        manifest.len() as u64,
    )?;
    add(
        &blob(&digest_of_bytes(&image)),
        &mut image.as_slice(),
        image.len() as u64,
    )?;
    let mut written: Vec<&str> = Vec::new();
    for layer in layers {
        if !written.contains(&layer.digest.as_str()) {
            add(
                &blob(&layer.digest),
                &mut std::fs::File::open(&layer.path)?,
                layer.size,
            )?;
            written.push(&layer.digest);
        }
    }
    tar.into_inner()?.flush()?;
    Ok(())
}
