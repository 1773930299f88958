//! The end of an attempt that never runs.

use super::{
    container::TargetContainer,
    ending,
    status::TargetStatus,
    task::{Parties, TargetTask},
};
use crate::{
    failure::{Failure, chain},
    journal::{Journal, TargetEntry},
    metrics::{ResultLabel, RoleLabel},
};

impl TargetTask {
    /// Nothing of this attempt runs, ever. The records stay until the pod is gone: without them kubelet would start its containers cold.
    pub(super) async fn abort(
        &mut self,
        parties: &Parties,
        mut journal: Journal<TargetEntry>,
        containers: &[TargetContainer],
        status: &mut TargetStatus,
        failure: &Failure,
    ) -> Result<(), Failure> {
        tracing::warn!(%failure, "giving up");
        self.doors.close();
        ending::end(&self.node, containers, &failure.to_string()).await;
        self.node.carry.abandon(&parties.pod_uid).await;
        let entry = TargetEntry::Aborted {
            reason: failure.reason.clone(),
            message: failure.message.clone(),
        };
        if let Err(error) = journal.append(entry) {
            tracing::warn!(
                error = chain(&error),
                "the end could not be journaled; a restart would do it again"
            );
        }
        self.remove_images(parties);
        self.metrics.ended(RoleLabel::Target, ResultLabel::Failed);
        status.aborted(failure);
        self.bury(parties, journal, containers).await
    }

    /// The last of an attempt that never ran.
    pub(super) async fn bury(
        &mut self,
        parties: &Parties,
        journal: Journal<TargetEntry>,
        containers: &[TargetContainer],
    ) -> Result<(), Failure> {
        self.until_over().await;
        for container in containers {
            if let Err(error) = container.remove_marks(&self.node.layout) {
                tracing::warn!(
                    container = container.name,
                    error = chain(&error),
                    "marks of the runtime stay"
                );
            }
        }
        self.forget(parties, journal)
    }
}
