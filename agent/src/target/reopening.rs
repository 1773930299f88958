//! What an earlier life of the agent had begun.

use godwit_container::cgroup::Freezer;

use super::{
    container::TargetContainer,
    restoring::Held,
    task::{Parties, TargetTask},
};
use crate::{
    failure::chain,
    haste::Haste,
    journal::{Journal, TargetEntry},
};

impl TargetTask {
    /// Who it was for, and its containers; `None` if it had not begun.
    pub(super) fn reopen(
        &self,
        uid: &str,
        journal: &Journal<TargetEntry>,
    ) -> Option<(Parties, Vec<TargetContainer>)> {
        let mut parties = None;
        let mut names = Vec::new();
        for entry in journal.entries() {
            match entry {
                TargetEntry::Begun {
                    target_pod_uid,
                    source_node,
                    source_address,
                    ..
                } => {
                    parties = Some(Parties {
                        uid: uid.to_owned(),
                        pod_uid: target_pod_uid.clone(),
                        source_node: source_node.clone(),
                        source_address: source_address.clone(),
                    });
                }
                TargetEntry::Records { containers } => names.clone_from(containers),
                _ => {}
            }
        }
        let parties = parties?;
        let reopened = names.iter().filter_map(|name| {
            let opened = TargetContainer::reopen(&self.node.layout, &parties.pod_uid, name);
            opened
                .inspect_err(|error| tracing::warn!(error = chain(error), "a record is lost"))
                .ok()
                .flatten()
        });
        let containers = reopened.collect();
        Some((parties, containers))
    }

    /// What is held, by the runtime's word.
    pub(super) fn held(&self, containers: &[TargetContainer]) -> Held {
        let restored = containers
            .iter()
            .filter_map(|container| container.restored_before().ok().flatten());
        let freezers = restored.filter_map(|restored| {
            let freezer = Freezer::of_pid(&self.node.host, restored.pid);
            freezer
                .inspect_err(|error| tracing::warn!(error = chain(error), "a container is gone"))
                .ok()
        });
        Held {
            freezers: freezers.collect(),
            voice: None,
            haste: Haste::begin(),
        }
    }
}
