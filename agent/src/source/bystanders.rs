//! Containers of the pod that are not moved: those that start anew at the target, and ephemeral ones. They share the pod's network, so
//! they are frozen with the others, thawed if the pod goes back, and end frozen with it if it does not.

use godwit_container::{cgroup::Freezer, discover::bystanders};

use super::{attempt::Attempt, facts::SourcePod};
use crate::{
    failure::{AtStep, Failure, chain},
    journal::SourceEntry,
    step::SourceStep,
};

impl Attempt {
    /// What freezes them, written down. Asked for right before the freeze, because a debugging container may have come since the pod
    /// was looked at; one that is gone by then needs nothing.
    pub(super) async fn bystanders(&mut self, pod: &SourcePod) -> Result<Vec<Freezer>, Failure> {
        let step = SourceStep::Freeze;
        let moved: Vec<&str> = pod.containers.iter().map(|it| it.on_node.id.as_str()).collect();
        let found = bystanders(&self.node.cri, &self.plan.source_pod_uid, &moved)
            .await
            .at(step)?;
        let mut freezers = Vec::new();
        for container in found {
            let freezer = match Freezer::of_pid(&self.node.host, container.pid) {
                Ok(freezer) => freezer,
                Err(error) => {
                    tracing::info!(
                        name = container.name,
                        error = chain(&error),
                        "the container has just ended"
                    );
                    continue;
                }
            };
            tracing::info!(name = container.name, "frozen with the pod, not moved");
            let entry = SourceEntry::Bystander {
                container: container.name,
                freezer: freezer.clone(),
            };
            self.journal.append(entry).at(step)?;
            freezers.push(freezer);
        }
        Ok(freezers)
    }
}
