//! The connection to the target's agent, and what is agreed on it.

use std::time::Duration;

use godwit_transfer::{Agreed, ContainerEntry, Hello, HostPath, Manifest, Message, PodAddress, Role};
use tokio::time::{Instant, sleep};

use super::{attempt::Attempt, clock, facts::SourcePod, memory::own_memory, sysv};
use crate::{
    carry::{Carried, NodeAt},
    failure::{AtStep, Failure},
    host_paths,
    peer::{self, Sender},
    step::SourceStep,
    talk,
};

/// Pause between two attempts to reach the target's agent.
pub(super) const DIAL_AGAIN: Duration = Duration::from_millis(300);

impl Attempt {
    /// Connects and agrees on what is to be moved. Fails if the target's agent cannot be reached before the deadline, or refuses.
    pub(super) async fn connect(&mut self, pod: &SourcePod) -> Result<(), Failure> {
        let step = SourceStep::Connect;
        let target = self.target_at()?;
        // The target may hear of the migration later than we do: refusals are final only at the deadline.
        let (sender, receiver) = loop {
            let hello = Hello::new(Role::Migrate, &self.migration_uid, &self.node.name);
            match peer::greet(
                (target.address, self.node.port).into(),
                &target.name,
                &self.node.identity,
                hello,
            )
            .await
            {
                Ok(link) => break link,
                Err(error) if Instant::now() + DIAL_AGAIN < self.deadline && error.is_transient() => {
                    tracing::info!(%error, "the target's agent is not there yet");
                    sleep(DIAL_AGAIN).await;
                }
                Err(error) => return Err(error).at(step),
            }
        };
        // From here on the target hears of what goes wrong.
        self.link = Some((sender, receiver));
        let other_files = self.compare_host_files(pod, &target).await?;
        let host_paths = host_paths::describe(&self.node.host, &self.node.name, &pod.host_paths);
        let manifest = self.manifest(pod, host_paths.await.at(step)?, other_files)?;
        self.manifest = Some(manifest.clone());
        let Some((sender, receiver)) = &mut self.link else {
            return Err(not_connected(step));
        };
        let sent = clock::now_us();
        sender.send(Message::Manifest(manifest)).await.at(step)?;
        let mut agreed = Agreed::default();
        talk::expect(receiver, step, |message| match message {
            Message::ManifestOk(answer) => {
                agreed = *answer;
                true
            }
            _ => false,
        })
        .await?;
        let warning = clock::warning(&target.name, sent, agreed, clock::now_us());
        self.status.warn(warning.into_iter().collect());
        Ok(())
    }

    /// What is to be moved.
    fn manifest(
        &self,
        pod: &SourcePod,
        host_paths: Vec<HostPath>,
        other_files: Vec<String>,
    ) -> Result<Manifest, Failure> {
        let step = SourceStep::Connect;
        let sysv_owner = sysv::owner(&pod.containers).at(step)?;
        let entries = pod.containers.iter().map(|container| ContainerEntry {
            name: container.name().to_owned(),
            image_id: container.image_id.clone(),
            runtime: container.on_node.runtime_type.clone(),
            image: container.image.clone(),
            owns_sysv: container.name() == sysv_owner,
            lazy: self.memory.is_some(),
        });
        Ok(Manifest {
            source_pod_uid: self.plan.source_pod_uid.clone(),
            target_pod_uid: self.plan.target_pod_uid.clone().unwrap_or_default(),
            hostname: pod.hostname.clone(),
            addresses: pod.addresses.iter().map(address_entry).collect(),
            containers: entries.collect(),
            host_paths,
            other_files,
            volumes: pod.volumes.clone(),
            memory_bytes: pod
                .containers
                .iter()
                .map(|container| own_memory(&self.node.host, &container.freezer))
                .sum(),
        })
    }

    /// The node that takes the pod.
    pub(super) fn target_at(&self) -> Result<NodeAt, Failure> {
        let step = SourceStep::Connect;
        let (Some(address), Some(name)) = (&self.plan.target_address, &self.plan.target_node) else {
            return Err(Failure::new(step, "PlanIncomplete", "the plan names no target"));
        };
        let address = address.parse().map_err(|_| {
            Failure::new(
                step,
                "PlanIncomplete",
                format!("`{address}` is no IPv4 address of a node"),
            )
        })?;
        Ok(NodeAt {
            name: name.clone(),
            address,
        })
    }

    pub(super) fn sender(&self, step: SourceStep) -> Result<&Sender, Failure> {
        self.link
            .as_ref()
            .map(|link| &link.0)
            .ok_or_else(|| not_connected(step))
    }
}

pub(super) fn not_connected(step: SourceStep) -> Failure {
    Failure::new(
        step,
        "NotConnected",
        "the connection to the target's agent is gone",
    )
}

fn address_entry(carried: &Carried) -> PodAddress {
    PodAddress {
        address: carried.address.to_string(),
        home_node: carried.home.name.clone(),
        home_address: carried.home.address.to_string(),
    }
}
