//! Files of this node that the pod uses, held against the destination's before the manifest: whoever chose it, and whatever preflight has seen.

use std::time::Duration;

use godwit_preflight::Container;

use super::{attempt::Attempt, facts::SourcePod};
use crate::{
    carry::NodeAt,
    failure::{AtStep, Failure},
    host_files::{self, Destination, Judgement, compared, judge},
    preflight::numbers,
    step::SourceStep,
};

/// For reading them, and again for the destination to read its own: the first time they may be gigabytes from a disk.
const LIMIT: Duration = Duration::from_mins(2);

impl Attempt {
    /// Gives those that are others there, which the user has accepted. Fails, by the name of the check, if the pod cannot go there.
    pub(super) async fn compare_host_files(
        &mut self,
        pod: &SourcePod,
        target: &NodeAt,
    ) -> Result<Vec<String>, Failure> {
        let step = SourceStep::Connect;
        let mut containers = Vec::new();
        for container in &pod.containers {
            containers.push(Container {
                name: container.name().to_owned(),
                pids: numbers(&container.freezer.processes().at(step)?),
                mounts: container.mounts.clone(),
            });
        }
        let files = host_files::used(&self.node, containers, LIMIT).await.at(step)?;
        let destination = Destination {
            name: target.name.clone(),
            address: target.address.into(),
        };
        let uid = &self.migration_uid;
        let findings = compared(&self.node, uid, &destination, &files, LIMIT)
            .await
            .at(step)?;
        match judge(&findings, &self.accept) {
            Judgement::Refused { check, message } => Err(Failure::new(step, check, message)),
            Judgement::Moves {
                other_files,
                warnings,
            } => {
                self.status.warn(warnings);
                Ok(other_files)
            }
        }
    }
}
