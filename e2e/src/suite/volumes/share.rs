//! A directory that all nodes have mounted at once, behind claims whose volumes are of the kind `nfs`.
//!
//! The kernel of a test machine may have no NFS client. Kubelet calls mount(8) for such a volume, and that a helper called `mount.nfs`: here one that binds a
//! directory which is the same on every node. So everything above the file system is as with a server (claim, volume, both mounts at once, locks that exclude each other);
//! what NFS does of its own (names of removed files, caches, a server that is away) is not shown.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::cluster::lend::lend;
use crate::suite::Lab;

const NODES: [&str; 3] = ["n1", "n2", "n3"];
/// Where each node has it.
const PLACE: &str = "/run/e2e-share";
const HELPER: &str = "/usr/sbin/mount.nfs";
const LIMIT: Duration = Duration::from_secs(20);

/// The directory, and the volumes made of it.
pub(super) struct Share<'a> {
    lab: &'a Lab,
    volumes: Vec<String>,
}

/// Gives `work` such a directory, and removes it in the end.
pub(super) async fn with(lab: &Lab, work: impl AsyncFnOnce(&mut Share<'_>) -> Result<()>) -> Result<()> {
    let mut share = Share {
        lab,
        volumes: Vec::new(),
    };
    let result = match share.mount().await {
        Ok(()) => work(&mut share).await,
        Err(error) => Err(error),
    };
    let removed = share.remove().await.context("remove the shared directory");
    result.and(removed)
}

impl Share<'_> {
    async fn mount(&self) -> Result<()> {
        let script = format!(
            "mkdir -p {PLACE} && mount -t tmpfs -o size=64m,mode=0777 share {PLACE} && mount --make-private {PLACE}"
        );
        self.lab.on_node("n1", &["sh", "-c", &script], LIMIT).await?;
        for node in ["n2", "n3"] {
            let cluster = self.lab.cluster().clone();
            let lent = move || lend(cluster.node("n1")?, cluster.node(node)?, Path::new(PLACE));
            tokio::task::spawn_blocking(lent).await??;
        }
        // mount.nfs SERVER:PATH DIRECTORY [OPTIONS]
        let helper = format!("#!/bin/sh\nexec mount --bind {PLACE}${{1#*:}} $2\n");
        let script = "printf %s \"$1\" > $0 && chmod 755 $0";
        for node in NODES {
            let words = ["sh", "-c", script, HELPER, &helper];
            self.lab.on_node(node, &words, LIMIT).await?;
        }
        Ok(())
    }

    /// Makes a claim of that name with its volume, a directory of its own; `modes` are the access modes of both, `more` goes into the volume's spec.
    pub(super) async fn claim(&mut self, name: &str, modes: &[&str], more: &Value) -> Result<()> {
        let make = format!("mkdir -p {PLACE}/{name} && chmod 777 {PLACE}/{name}");
        self.lab.on_node("n1", &["sh", "-c", &make], LIMIT).await?;
        let volume = format!("{}-{name}", self.lab.namespace());
        let mut spec = json!({
            "capacity": {"storage": "1Mi"}, "accessModes": modes, "storageClassName": "none",
            "persistentVolumeReclaimPolicy": "Retain", "nfs": {"server": "files.test", "path": format!("/{name}")},
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let object = serde_json::from_value(json!({"metadata": {"name": volume}, "spec": spec}))?;
        Api::<PersistentVolume>::all(self.lab.client())
            .create(&PostParams::default(), &object)
            .await
            .context("make a volume")?;
        self.volumes.push(volume.clone());
        let claim = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {
                "accessModes": modes, "storageClassName": "none", "volumeName": volume,
                "resources": {"requests": {"storage": "1Mi"}},
            },
        }))?;
        self.lab
            .api::<PersistentVolumeClaim>()
            .create(&PostParams::default(), &claim)
            .await
            .context("make a claim")?;
        Ok(())
    }

    async fn remove(&self) -> Result<()> {
        let volumes: Api<PersistentVolume> = Api::all(self.lab.client());
        for volume in &self.volumes {
            volumes.delete(volume, &DeleteParams::default()).await?;
        }
        let script = format!("rm -f {HELPER}; ! mountpoint -q {PLACE} || umount -l {PLACE}");
        for node in NODES {
            self.lab.on_node(node, &["sh", "-c", &script], LIMIT).await?;
        }
        Ok(())
    }
}
