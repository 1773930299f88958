//! Finding the pod on the node.

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

use godwit_container::{
    cgroup::Freezer,
    discover::{ContainerOnNode, discover},
};
use godwit_runtime::record::RecordDir;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::time::timeout;

use super::{
    attempt::Attempt,
    containers::moved,
    facts::{SourceContainer, SourcePod},
    shared, sysv, volumes,
};
use crate::{
    carry::Carried,
    failure::{AtStep, Failure},
    host_paths, preflight,
    step::SourceStep,
};

/// How long a call to the API server may take before the freeze.
const API_DEADLINE: Duration = Duration::from_secs(10);

impl Attempt {
    /// What is known of the pod before anything is touched. Fails if it is another one than the plan's, or cannot be moved as it is.
    pub(super) async fn discover(&self) -> Result<SourcePod, Failure> {
        let step = SourceStep::Discover;
        let pods: Api<Pod> = Api::namespaced(self.node.client.clone(), &self.namespace);
        let pod = timeout(API_DEADLINE, pods.get(&self.pod_name))
            .await
            .map_err(|_| Failure::new(step, "ApiUnavailable", "the API server did not answer in time"))?
            .map_err(|error| Failure::from_error(step, "ApiUnavailable", &error))?;
        if pod.metadata.uid.as_deref() != Some(&self.plan.source_pod_uid) {
            let message = "the pod was replaced by another one of the same name";
            return Err(Failure::new(step, "PodReplaced", message));
        }
        let spec = pod.spec.unwrap_or_default();
        let (host_paths, volumes) = (host_paths::of_pod(&spec), volumes::of_pod(&spec));
        let found = discover(&self.node.cri, &self.node.host, &self.plan.source_pod_uid)
            .await
            .at(step)?;
        let netns = found.netns.ok_or_else(|| {
            Failure::new(
                step,
                "NoNetworkNamespace",
                "the container runtime names no network namespace of the pod",
            )
        })?;
        let own_address: Ipv4Addr = pod
            .status
            .and_then(|status| status.pod_ip)
            .and_then(|address| address.parse().ok())
            .ok_or_else(|| {
                Failure::new(
                    step,
                    "AddressUnsupported",
                    "the pod has no IPv4 address; only IPv4 is carried so far",
                )
            })?;
        let mut addresses = vec![Carried {
            address: own_address,
            home: self.node.carry.me().clone(),
        }];
        addresses.extend(self.node.carry.carried_by(&self.plan.source_pod_uid));
        let mut left = found.containers;
        let mut containers = Vec::new();
        for wanted in moved(&spec, &self.restart) {
            let Some(position) = left.iter().position(|container| container.name == wanted.name) else {
                let message = format!(
                    "container {} does not run; a pod moves only while all its containers do",
                    wanted.name
                );
                return Err(Failure::new(step, "ContainerNotRunning", message));
            };
            containers.push(
                self.container(
                    left.swap_remove(position),
                    wanted.image.clone().unwrap_or_default(),
                    shared::mounts(&spec, wanted),
                    preflight::mounts(wanted),
                )
                .await?,
            );
        }
        Ok(SourcePod {
            hostname: spec.hostname.unwrap_or_else(|| self.pod_name.clone()),
            netns,
            own_address,
            addresses,
            containers,
            host_paths,
            volumes,
        })
    }

    async fn container(
        &self,
        on_node: ContainerOnNode,
        image: String,
        shared: Vec<PathBuf>,
        mounts: Vec<PathBuf>,
    ) -> Result<SourceContainer, Failure> {
        let step = SourceStep::Discover;
        let (agent, node) = (&self.node.layout, &self.node.layout_on_node);
        let name = &on_node.name;
        let image_dir = agent.image_dir(&self.migration_uid, name).at(step)?;
        let gate_dir = agent.gate_dir(&self.migration_uid, name).at(step)?;
        let call_dir = agent
            .gate_dir(&self.migration_uid, &format!("{name}.call"))
            .at(step)?;
        // containerd before 2.2 names the image only by a reference, which may be a name.
        let named = if on_node.image_id.is_empty() {
            &on_node.image_ref
        } else {
            &on_node.image_id
        };
        let image_id = self.node.cri.image_id(named).await.at(step)?.ok_or_else(|| {
            let message =
                format!("container {name}: the container runtime does not know its image {named} any more");
            Failure::new(step, "ImageUnknown", message)
        })?;
        for directory in [&image_dir, &gate_dir] {
            RecordDir::create(agent, directory).at(step)?;
        }
        let freezer = Freezer::of_pid(&self.node.host, on_node.pid).at(step)?;
        Ok(SourceContainer {
            maps_sysv: sysv::is_mapped(&self.node.host, &freezer),
            shared,
            mounts,
            image,
            freezer,
            image_dir_on_node: node.image_dir(&self.migration_uid, name).at(step)?,
            gate_dir_on_node: node.gate_dir(&self.migration_uid, name).at(step)?,
            image_id,
            image_dir,
            gate_dir,
            call_dir,
            on_node,
        })
    }
}
