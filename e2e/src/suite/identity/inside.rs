//! A look from inside a container, as a user takes it.

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::command;
use crate::suite::Lab;

/// What `sh -c script` writes in the pod's first container, by `kubectl exec`.
pub(super) async fn shell(lab: &Lab, pod: &Pod, script: &str) -> Result<String> {
    let (cluster, namespace, name) = (lab.cluster().clone(), lab.namespace().to_owned(), pod.name_any());
    let script = script.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut kubectl = cluster.kubectl()?;
        kubectl.args([
            "--request-timeout=20s",
            "-n",
            &namespace,
            "exec",
            &name,
            "--",
            "sh",
            "-c",
            &script,
        ]);
        command::output(&mut kubectl)
    })
    .await?
}
