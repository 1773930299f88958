//! The containers, one after the other, as kubelet starts them. What can be done for a container before its images are complete is done before.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use godwit_container::{
    cgroup::Freezer,
    discover::discover,
    images::{blank_sysv, mend_files},
};
use godwit_network::{
    Netns,
    mute::{Voice, mute},
};
use godwit_runtime::record::unix_ms;
use godwit_transfer::{ContainerName, Message, Pass, Restored};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    attempt::texts,
    container::{ContainerError, TargetContainer},
    inbox::Arrivals,
    logs::Logs,
    page_server::PageServer,
    parking::end_parking,
    shared,
    trees::{Tree, mounts_of},
};
use crate::{
    carry::{Carried, CarryError, Newcomer, Whence},
    failure::{AtStep, Failure},
    haste::Haste,
    journal::{Journal, TargetEntry},
    netns,
    node::Node,
    peer::Sender,
    progress::Progress,
    step::TargetStep,
};

/// How long a restore may take to say why it has failed.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What the containers of one migration need to be restored.
pub(super) struct Restoring<'a> {
    pub(super) node: &'a Arc<Node>,
    pub(super) pod_uid: &'a str,
    pub(super) addresses: &'a [Carried],
    pub(super) source_address: Ipv4Addr,
    pub(super) source_pod_uid: &'a str,
    pub(super) containers: &'a [TargetContainer],
    pub(super) sysv_owner: Option<&'a str>,
    /// Files of the node that are others here, which the user has accepted, as paths in the containers.
    pub(super) other_files: &'a [String],
    pub(super) directory: &'a Path,
    pub(super) sender: &'a Sender,
    pub(super) progress: &'a Progress<TargetStep>,
    pub(super) journal: &'a mut Journal<TargetEntry>,
    pub(super) deadline: Instant,
    pub(super) logs: Logs,
}

/// A pod that is restored and held.
pub(super) struct Held {
    /// What lets its containers go.
    pub(super) freezers: Vec<Freezer>,
    /// What lets its network speak; not there after a restart of the agent.
    pub(super) voice: Option<Voice>,
    /// Until the pod is let go.
    pub(super) haste: Haste,
}

impl Restoring<'_> {
    /// Restores and holds every container, in the order of their start.
    pub(super) async fn run(mut self, mut news: watch::Receiver<Arrivals>) -> Result<Held, Failure> {
        self.progress.enter(TargetStep::PrepareAddress).await?;
        let netns = self.prepare_addresses().await?;
        self.start_page_servers().await?;
        wait(&mut news, TargetStep::EndParking, |news| news.end_parking).await?;
        self.progress.enter(TargetStep::EndParking).await?;
        // Not before, for sidecars that start anew run already, and need the network while memory is copied.
        mute(&netns).await.at(TargetStep::EndParking)?;
        let voice = Voice::prepare(netns).await.at(TargetStep::EndParking)?;
        end_parking(self.node, self.pod_uid, self.deadline)
            .await
            .at(TargetStep::EndParking)?;
        // The source freezes as soon as it hears that the first container is parked.
        let haste = Haste::begin();
        let mut freezers = Vec::new();
        for (index, container) in self.containers.iter().enumerate() {
            freezers.push(self.restore(index, container, &mut news).await?);
        }
        Ok(Held {
            freezers,
            voice: Some(voice),
            haste,
        })
    }

    async fn restore(
        &mut self,
        index: usize,
        container: &TargetContainer,
        news: &mut watch::Receiver<Arrivals>,
    ) -> Result<Freezer, Failure> {
        let first = index == 0;
        let name = &container.name;
        self.progress.enter(TargetStep::AwaitParked).await?;
        let parked = container
            .parked(self.deadline)
            .await
            .map_err(|error| of(TargetStep::AwaitParked, &error))?;
        self.logs.parked(self.node.clone(), name, &parked.id);
        self.progress.enter(TargetStep::ApplyFiles).await?;
        let step = TargetStep::ApplyFiles;
        let mounts = mounts_of(self.node, &parked).at(step)?;
        // Whose size and build CRIU is not to look at.
        let mut unlike = shared::destinations(&mounts, self.pod_uid, |path| self.node.seen(path).exists());
        unlike.extend(self.other_files.iter().map(PathBuf::from));
        wait(news, step, |news| news.spawn_ready).await?;
        let mut trees = vec![Tree::layer(self.node, name, &parked)];
        if first {
            // The pod's shared memory is one for all containers; it must be there for the first of them.
            trees.extend(Tree::shared_memory(self.node, &mounts));
        }
        let trees = self.apply(trees, Pass::Base).await?;
        container
            .spawn(self.deadline)
            .await
            .map_err(|error| of(TargetStep::AwaitParked, &error))?;
        self.sender
            .send(Message::Parked(ContainerName::new(name)))
            .await
            .at(TargetStep::AwaitParked)?;

        self.progress.enter(TargetStep::Receive).await?;
        if index + 1 == self.containers.len() {
            self.journal
                .append(TargetEntry::Holding)
                .at(TargetStep::Prepare)?;
        }
        let received = tokio::select! {
            received = self.receive(name, trees, news) => received,
            error = container.broken() => Err(of(TargetStep::Receive, &error)),
        };
        if let Err(failure) = received {
            // Whatever fails because the container is gone is not the cause.
            return Err(container
                .failed()
                .map_or(failure, |error| of(TargetStep::Receive, &error)));
        }
        if self.sysv_owner != Some(name) {
            // The image of each container holds the SysV objects of the whole pod, and only one restore can make them.
            blank_sysv(&container.image_dir).at(TargetStep::Receive)?;
        }
        mend_files(&container.image_dir, &unlike).at(TargetStep::Receive)?;
        self.progress.enter(TargetStep::Restore).await?;
        let step = TargetStep::Restore;
        container.open_gate().map_err(|error| of(step, &error))?;
        let server = PageServer::of(name, &container.image_dir);
        let restored = tokio::select! {
            restored = container.restored(self.deadline) => restored.map_err(|error| of(step, &error))?,
            error = server.failure(), if container.lazy => {
                // A restore that fails ends its connection to the page server first; its own words say more.
                let words = timeout(LAST_WORDS, container.broken()).await;
                return Err(match words {
                    Ok(cause) => of(step, &cause),
                    Err(_) => Failure::from_error(step, error.reason(), &error),
                });
            }
        };
        if container.lazy {
            server.serves().await.at(step)?;
        }
        let freezer = Freezer::of_pid(&self.node.host, restored.pid).at(step)?;
        let pid = u32::try_from(restored.pid).unwrap_or_default();
        self.sender
            .send(Message::Restored(Restored {
                container: name.clone(),
                pid,
            }))
            .await
            .at(step)?;
        Ok(freezer)
    }

    /// What comes in the freeze.
    async fn receive(
        &self,
        name: &str,
        trees: Vec<Tree>,
        news: &mut watch::Receiver<Arrivals>,
    ) -> Result<(), Failure> {
        let step = TargetStep::Receive;
        wait(news, step, |news| news.files.contains(name)).await?;
        self.apply(trees, Pass::Delta).await?;
        wait(news, step, |news| news.images.contains(name)).await
    }

    /// Before the freeze: to start a process takes tens of milliseconds.
    async fn start_page_servers(&self) -> Result<(), Failure> {
        let step = TargetStep::ReceivePages;
        self.progress.enter(step).await?;
        let left = self.deadline.saturating_duration_since(Instant::now());
        let deadline_ms = unix_ms().saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        for container in self.containers.iter().filter(|container| container.lazy) {
            let on_node = self
                .node
                .layout_on_node
                .image_dir(self.pod_uid, &container.name)
                .at(step)?;
            PageServer::of(&container.name, &container.image_dir)
                .start(self.node, &container.image_dir, &on_node, deadline_ms)
                .await
                .at(step)?;
        }
        Ok(())
    }

    async fn apply(&self, trees: Vec<Tree>, pass: Pass) -> Result<Vec<Tree>, Failure> {
        let mut applied = Vec::with_capacity(trees.len());
        for tree in trees {
            applied.push(
                tree.apply(self.directory, pass)
                    .await
                    .at(TargetStep::ApplyFiles)?,
            );
        }
        Ok(applied)
    }

    /// CRIU binds the restored sockets to the source's addresses, so the pod must have them; nothing may reach them yet. Gives the pod's
    /// network namespace.
    ///
    /// Before the parking ends: once a `create` is parked, the pod's shim holds its lock, and containerd answers no
    /// question about the pod's processes (each waits for `io.containerd.timeout.task.state`, 2 s; four of them cost 8 s).
    async fn prepare_addresses(&mut self) -> Result<Netns, Failure> {
        let step = TargetStep::PrepareAddress;
        let (netns, own) = self.network_of(self.pod_uid).await?;
        let entry = TargetEntry::Addresses {
            netns: netns.clone(),
            addresses: texts(self.addresses),
        };
        self.journal.append(entry).at(step)?;
        let place = netns.clone();
        let newcomer = Newcomer {
            pod_uid: self.pod_uid.to_owned(),
            netns,
            pod_address: own,
            from: self.whence().await?,
            addresses: self.addresses.to_vec(),
        };
        self.node.carry.prepare(newcomer).await.at(step)?;
        netns::open(&self.node.host, &place).at(step)
    }

    /// Where the pod comes from, which may be this very node.
    async fn whence(&self) -> Result<Whence, Failure> {
        if self.source_address != self.node.carry.me().address {
            return Ok(Whence::Node(self.source_address));
        }
        let (netns, address) = self.network_of(self.source_pod_uid).await?;
        Ok(Whence::Pod {
            uid: self.source_pod_uid.to_owned(),
            netns,
            address,
        })
    }

    /// The network namespace, as a path on the node, and the own address of a pod of this node.
    async fn network_of(&self, pod_uid: &str) -> Result<(PathBuf, Ipv4Addr), Failure> {
        let step = TargetStep::PrepareAddress;
        let pod = discover(&self.node.cri, &self.node.host, pod_uid)
            .await
            .at(step)?;
        let netns = pod.netns.ok_or_else(|| {
            Failure::new(
                step,
                "NoNetworkNamespace",
                "the container runtime names no network namespace of the pod",
            )
        })?;
        let own = self
            .node
            .cri
            .pod_address(&pod.sandbox_id)
            .await
            .at(step)?
            .ok_or(CarryError::NoPodAddress)
            .at(step)?;
        Ok((netns, own))
    }
}

/// Waits for news; the sender of the news lives as long as the connection.
async fn wait(
    news: &mut watch::Receiver<Arrivals>,
    step: TargetStep,
    wanted: impl FnMut(&Arrivals) -> bool,
) -> Result<(), Failure> {
    match news.wait_for(wanted).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::new(
            step,
            "ConnectionLost",
            "the connection to the source's agent broke",
        )),
    }
}

fn of(step: TargetStep, error: &ContainerError) -> Failure {
    Failure::from_error(step, &error.reason(), error)
}
