//! `runc checkpoint` of each container, started up to its gate.

use std::time::Duration;

use futures::future::try_join_all;
use godwit_container::checkpoint::{Checkpoint, find_runc};
use godwit_runtime::record::{self, RecordDir, unix_ms};
use godwit_transfer::{Empty, Message, ObjectKind, ObjectSpec};
use tokio::time::Instant;

use super::{
    attempt::Attempt,
    dump::{Waiting, failed},
    facts::{SourceContainer, SourcePod},
    images::DESCRIPTORS,
};
use crate::{
    appear::appear,
    failure::{AtStep, Failure},
    journal::SourceEntry,
    step::SourceStep,
};

/// How long the supervisor of a checkpoint gives it beyond the migration's deadline; by then the migration has been
/// called off and the container is frozen, so that CRIU can be ended.
const CALL_GRACE: Duration = Duration::from_mins(2);

impl Attempt {
    /// Starts the call for every container, and sends what the target's runtime has to know of its descriptors.
    pub(super) async fn prepare_checkpoints(&mut self, pod: &SourcePod) -> Result<Vec<Waiting>, Failure> {
        let step = SourceStep::PrepareCheckpoint;
        let mut calls = Vec::new();
        for container in &pod.containers {
            self.journal
                .append(SourceEntry::CheckpointPrepared {
                    container: container.name().to_owned(),
                    freezer: container.freezer.clone(),
                    call: container.call_dir.clone(),
                    gate: container.gate_dir.clone(),
                })
                .at(step)?;
            let call = self
                .checkpoint(container)?
                .start(&container.call_dir, &self.node.launcher)
                .await
                .at(step)?;
            calls.push(Waiting::new(call));
        }
        let (sender, deadline) = (self.sender(step)?, self.deadline);
        let waiting = pod
            .containers
            .iter()
            .zip(&calls)
            .map(|(container, call)| async move {
                let gate = RecordDir::open_handed(&container.gate_dir).at(step)?;
                tokio::select! {
                    appeared = appear(&gate, &[record::WAITING], "runc, on its way to CRIU,", deadline) => {
                        appeared.at(step)?;
                    }
                    ended = call.ended() => return Err(failed(step, container, &ended?)),
                }
                let descriptors = tokio::fs::read(container.image_dir.join(DESCRIPTORS))
                    .await
                    .map_err(|error| Failure::from_error(step, "DescriptorsMissing", &error))?;
                let kind = ObjectKind::Descriptors {
                    container: container.name().to_owned(),
                };
                let id = sender.begin_object(ObjectSpec::new(kind)).await.at(step)?;
                sender.send_chunk(id, descriptors.into()).await.at(step)?;
                sender.end_object(id).await.at(step)
            });
        try_join_all(waiting).await?;
        sender.send(Message::SpawnReady(Empty {})).await.at(step)?;
        Ok(calls)
    }

    fn checkpoint(
        &self,
        container: &SourceContainer,
    ) -> Result<godwit_container::call::RuntimeCall, Failure> {
        let step = SourceStep::PrepareCheckpoint;
        let node = &self.node;
        let runc = find_runc(
            &node.host,
            &node.search_path,
            container.on_node.runtime_binary.as_deref(),
        )
        .at(step)?;
        let left = self.deadline.saturating_duration_since(Instant::now());
        let checkpoint = Checkpoint {
            runc: &runc,
            container: &container.on_node,
            freezer: &container.freezer,
            image_dir: &container.image_dir_on_node,
            work_dir: &container.gate_dir_on_node,
            gate_dir: &container.gate_dir_on_node,
            gate_deadline_ms: unix_ms().saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            criu_dir: &node.layout_on_node.criu_dir(),
            criu_config: &node.layout_on_node.criu_config(),
            search_path: &node.search_path,
            deadline: left + CALL_GRACE,
            lazy: self.memory.is_some(),
        };
        Ok(checkpoint.call(&node.host))
    }
}
