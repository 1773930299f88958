//! From the source's connection to *prepared*: what arrives is put away while the containers are restored.

use std::{collections::HashSet, net::Ipv4Addr, sync::Arc, time::Duration};

use godwit_container::discover::discover;
use godwit_crds::PodMigration;
use godwit_runtime::record::{RecordDir, unix_ms};
use godwit_transfer::{Agreed, Empty, Event, Manifest, Message, PodAddress};
use tokio::{sync::watch, time::Instant};

use super::{
    container::TargetContainer,
    doors::Doors,
    inbox::{Arrivals, Inbox, InboxError},
    lanes::Lanes,
    link::{RESUME_WITHIN, Receiving},
    restoring::{Held, Restoring},
    room,
};
use crate::{
    carry::{Carried, NodeAt},
    failure::{AtStep, Failure, chain},
    host_paths,
    journal::{Journal, TargetEntry},
    node::Node,
    peer::{Receiver, Sender},
    progress::Progress,
    source::now_us,
    step::TargetStep,
    talk::peers_failure,
    volumes::{self, Volume},
};

/// How long a record lets the runtime wait beyond the migration's deadline: the agent ends it before that.
const RECORD_GRACE: Duration = Duration::from_mins(1);

/// What one attempt at the target has taken hold of.
pub(super) struct Attempt {
    pub(super) node: Arc<Node>,
    pub(super) uid: String,
    pub(super) pod_uid: String,
    pub(super) source_pod_uid: String,
    pub(super) source_address: Ipv4Addr,
    pub(super) deadline: Instant,
    pub(super) progress: Arc<Progress<TargetStep>>,
    pub(super) journal: Journal<TargetEntry>,
    pub(super) containers: Vec<TargetContainer>,
    pub(super) sysv_owner: Option<String>,
    pub(super) addresses: Vec<Carried>,
    /// What was agreed on.
    pub(super) manifest: Manifest,
    /// The volumes that it names.
    pub(super) volumes: Vec<Volume>,
}

impl Attempt {
    /// Agrees with the source on what is to be moved, and makes the records.
    pub(super) async fn agree(&mut self, sender: &Sender, receiver: &mut Receiver) -> Result<(), Failure> {
        let step = TargetStep::Accept;
        self.progress.enter(step).await?;
        let (manifest, received_us) = loop {
            match receiver.recv().await.at(step)? {
                Event::Message(Message::Manifest(manifest)) => break (manifest, now_us()),
                Event::Message(message) => {
                    if let Some(failure) = peers_failure(step, &message) {
                        return Err(failure);
                    }
                }
                _ => {}
            }
        };
        self.check(&manifest).await?;
        self.volumes = volumes::open(&self.node, &self.pod_uid, &manifest.volumes)
            .await
            .at(step)?;
        let step = TargetStep::MakeRecords;
        self.progress.enter(step).await?;
        let names = manifest
            .containers
            .iter()
            .map(|container| container.name.clone())
            .collect();
        self.journal
            .append(TargetEntry::Records { containers: names })
            .at(step)?;
        let left = self.deadline.saturating_duration_since(Instant::now()) + RECORD_GRACE;
        let deadline_ms = unix_ms().saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        let layouts = (&self.node.layout, &self.node.layout_on_node);
        for container in &manifest.containers {
            let made = TargetContainer::make(
                layouts,
                &self.uid,
                &self.pod_uid,
                &container.name,
                container.lazy,
                deadline_ms,
            );
            self.containers
                .push(made.map_err(|error| Failure::from_error(step, &error.reason(), &error))?);
        }
        self.sysv_owner = manifest
            .containers
            .iter()
            .find(|it| it.owns_sysv)
            .map(|it| it.name.clone());
        self.addresses = manifest.addresses.iter().filter_map(carried).collect();
        self.manifest = manifest;
        let agreed = Agreed {
            received_us,
            sent_us: now_us(),
        };
        sender.send(Message::ManifestOk(agreed)).await.at(step)
    }

    async fn check(&self, manifest: &Manifest) -> Result<(), Failure> {
        let refuse = |reason, message: String| Err(Failure::new(TargetStep::Accept, reason, message));
        if manifest.target_pod_uid != self.pod_uid || manifest.source_pod_uid != self.source_pod_uid {
            return refuse(
                "AnotherPod",
                "the source's agent speaks of another pod than the plan".to_owned(),
            );
        }
        if manifest
            .addresses
            .iter()
            .any(|address| carried(address).is_none())
        {
            return refuse(
                "AddressUnsupported",
                "only IPv4 addresses can be carried so far".to_owned(),
            );
        }
        let pod = discover(&self.node.cri, &self.node.host, &self.pod_uid)
            .await
            .at(TargetStep::Accept)?;
        if pod.runtime_handler != godwit_crds::RUNTIME_CLASS {
            let message = format!(
                "the target pod runs under handler `{}` and not under `godwit`",
                pod.runtime_handler
            );
            return refuse("WrongRuntimeHandler", message);
        }
        room::check(&self.node, manifest.memory_bytes).at(TargetStep::Accept)?;
        host_paths::compare(&self.node.host, &self.node.name, &manifest.host_paths)
            .await
            .at(TargetStep::Accept)?;
        for container in &manifest.containers {
            let here = self
                .node
                .cri
                .image_id(&container.image)
                .await
                .at(TargetStep::Accept)?;
            if here.as_ref() != Some(&container.image_id) {
                let message = format!(
                    "container {}: {} is {} on this node, and {} on the source: the tag names two images; name the image by digest, or pull the source's here",
                    container.name,
                    container.image,
                    here.as_deref().unwrap_or("missing"),
                    container.image_id
                );
                return refuse("ImageDiffers", message);
            }
        }
        Ok(())
    }

    /// Receives and restores until everything is held, and says so.
    pub(super) async fn restore(
        &mut self,
        link: (&Sender, &mut Receiver),
        inbox: &mut Inbox,
        doors: &mut Doors,
        updates: &mut watch::Receiver<Arc<PodMigration>>,
    ) -> Result<Held, Failure> {
        let (sender, receiver) = link;
        let directory = self.node.layout.images_dir().join(&self.pod_uid);
        RecordDir::create(&self.node.layout, &directory).at(TargetStep::Receive)?;
        let news = inbox.watch();
        let lazy = self.containers.iter().filter(|container| container.lazy);
        let lazy: HashSet<String> = lazy.map(|container| container.name.clone()).collect();
        let logs = inbox.logs();
        let lanes = Lanes::new(inbox.stores(), lazy.clone());
        inbox.expect_memory(lazy);
        inbox.expect_volumes(std::mem::take(&mut self.volumes));
        let lanes = lanes.serve(&mut doors.lanes, frozen(inbox.watch()));
        let receiving = Receiving {
            sender,
            receiver,
            inbox,
            links: &mut doors.links,
            updates,
            manifest: &self.manifest,
            within: RESUME_WITHIN,
        };
        let restoring = Restoring {
            node: &self.node,
            pod_uid: &self.pod_uid,
            addresses: &self.addresses,
            source_address: self.source_address,
            source_pod_uid: &self.source_pod_uid,
            containers: &self.containers,
            sysv_owner: self.sysv_owner.as_deref(),
            other_files: &self.manifest.other_files,
            directory: &directory,
            sender,
            progress: &self.progress,
            journal: &mut self.journal,
            deadline: self.deadline,
            logs,
        };
        let held = tokio::select! {
            held = restoring.run(news) => held?,
            failure = receiving.run() => return Err(failure),
            error = lanes => return Err(InboxError::from(error)).at(TargetStep::Receive),
        };
        let step = TargetStep::Prepare;
        self.progress.enter(step).await?;
        sender.send(Message::Prepared(Empty {})).await.at(step)?;
        // Whatever becomes of this process, that word must not be lost in a queue here. Should the connection break now, the source may have
        // heard it all the same and commit: nothing is given up, the source is asked for the verdict.
        if let Err(error) = sender.flush().await {
            tracing::info!(
                error = chain(&error),
                "whether the source has heard it is not known"
            );
        }
        Ok(held)
    }
}

async fn frozen(mut news: watch::Receiver<Arrivals>) {
    // The inbox lives longer than the wait.
    let _ = news.wait_for(|news| news.frozen).await;
}

/// An address of the pod with its home; `None` for one that is not IPv4.
fn carried(entry: &PodAddress) -> Option<Carried> {
    let home = NodeAt {
        name: entry.home_node.clone(),
        address: entry.home_address.parse().ok()?,
    };
    Some(Carried {
        address: entry.address.parse().ok()?,
        home,
    })
}

/// Addresses as the journal has them.
pub(super) fn texts(addresses: &[Carried]) -> Vec<String> {
    addresses
        .iter()
        .map(|carried| carried.address.to_string())
        .collect()
}
