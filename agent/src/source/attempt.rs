//! From nothing to *prepared*: every container restored and held at the target, the source frozen. Whoever drops the
//! attempt, or gets an error from it, has to [undo](super::undo) it.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use futures::future::{try_join, try_join_all};
use godwit_container::{
    cgroup::Freezer,
    checkpoint::{Checkpoint, find_runc},
    discover::{ContainerOnNode, discover},
};
use godwit_crds::{Plan, SourceState};
use godwit_network::hold::{ActiveHold, Hold, PreparedHold, QueueNumbers};
use godwit_runtime::record::{self, RecordDir, unix_ms};
use godwit_transfer::{
    ContainerEntry, Empty, Hello, Manifest, Message, ObjectKind, ObjectSpec, PodAddress, Role,
};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    dump::{Waiting, failed},
    facts::{SourceContainer, SourcePod},
    images::DESCRIPTORS,
    memory::{Choice, Memory, MemoryWish, budget_of_stop_and_copy},
    status::SourceStatus,
    stream::send_stream,
    sysv,
};
use crate::{
    appear::appear,
    carry::{Carried, HandOver, NodeAt},
    failure::{AtStep, Failure},
    files,
    haste::Haste,
    journal::{Journal, SourceEntry},
    netns,
    node::Node,
    peer::{self, Receiver, Sender},
    progress::Progress,
    step::SourceStep,
    talk,
};

/// How long the supervisor of a checkpoint gives it beyond the migration's deadline; by then the migration has been
/// called off and the container is frozen, so that CRIU can be ended.
const CALL_GRACE: Duration = Duration::from_mins(2);
/// How long a call to the API server may take before the freeze.
const API_DEADLINE: Duration = Duration::from_secs(10);
/// Pause between two attempts to reach the target's agent.
const DIAL_AGAIN: Duration = Duration::from_millis(300);

/// Everything that one attempt has taken hold of.
pub(super) struct Attempt {
    pub(super) node: Arc<Node>,
    pub(super) migration_uid: String,
    pub(super) namespace: String,
    pub(super) pod_name: String,
    pub(super) plan: Plan,
    pub(super) deadline: Instant,
    pub(super) progress: Arc<Progress<SourceStep>>,
    pub(super) journal: Journal<SourceEntry>,
    pub(super) status: SourceStatus,
    /// The hold, before the freeze.
    pub(super) prepared_hold: Option<PreparedHold>,
    /// The hold, from the freeze on.
    pub(super) hold: Option<ActiveHold>,
    /// How the addresses will be sent after the pod.
    pub(super) hand_over: Option<HandOver>,
    pub(super) link: Option<(Sender, Receiver)>,
    /// From the freeze on.
    pub(super) haste: Option<Haste>,
    /// What the migration asks for.
    pub(super) wish: MemoryWish,
    /// The pod's memory, if it travels ahead.
    pub(super) memory: Option<Memory>,
}

impl Attempt {
    pub(super) async fn enter(&self, step: SourceStep) -> Result<(), Failure> {
        self.progress.enter(step).await
    }

    /// Everything that can be done while the source runs. Gives the pod and the runtime calls that wait at their gates.
    pub(super) async fn prepare(&mut self) -> Result<(SourcePod, Vec<Waiting>, Vec<files::Base>), Failure> {
        self.enter(SourceStep::Discover).await?;
        let pod = self.discover().await?;
        self.enter(SourceStep::TrackMemory).await?;
        self.track_memory(&pod).await?;
        self.enter(SourceStep::Connect).await?;
        self.connect(&pod).await?;
        self.enter(SourceStep::PrepareHold).await?;
        self.prepare_hold(&pod).await?;
        self.enter(SourceStep::CopyFiles).await?;
        let bases = self.copy_files(&pod).await?;
        self.enter(SourceStep::CopyMemory).await?;
        self.copy_memory().await?;
        self.enter(SourceStep::PrepareCheckpoint).await?;
        let calls = self.prepare_checkpoints(&pod).await?;
        self.enter(SourceStep::EndParking).await?;
        self.status.say(|report| report.state = SourceState::Switching);
        self.end_parking(&pod).await?;
        Ok((pod, calls, bases))
    }

    async fn discover(&self) -> Result<SourcePod, Failure> {
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
        for wanted in &spec.containers {
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
        })
    }

    async fn container(&self, on_node: ContainerOnNode, image: String) -> Result<SourceContainer, Failure> {
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

    async fn connect(&mut self, pod: &SourcePod) -> Result<(), Failure> {
        let step = SourceStep::Connect;
        let target = self.target_at()?;
        // The target may hear of the migration later than we do: refusals are final only at the deadline.
        let (sender, mut receiver) = loop {
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
        let sysv_owner = sysv::owner(&pod.containers).at(step)?;
        let entries = pod.containers.iter().map(|container| ContainerEntry {
            name: container.name().to_owned(),
            image_id: container.image_id.clone(),
            runtime: container.on_node.runtime_type.clone(),
            image: container.image.clone(),
            owns_sysv: container.name() == sysv_owner,
            lazy: self.memory.is_some(),
        });
        let manifest = Manifest {
            source_pod_uid: self.plan.source_pod_uid.clone(),
            target_pod_uid: self.plan.target_pod_uid.clone().unwrap_or_default(),
            hostname: pod.hostname.clone(),
            addresses: pod.addresses.iter().map(address_entry).collect(),
            containers: entries.collect(),
        };
        sender.send(Message::Manifest(manifest)).await.at(step)?;
        talk::expect(&mut receiver, step, |message| {
            matches!(message, Message::ManifestOk(_))
        })
        .await?;
        self.link = Some((sender, receiver));
        Ok(())
    }

    async fn prepare_hold(&mut self, pod: &SourcePod) -> Result<(), Failure> {
        let step = SourceStep::PrepareHold;
        self.journal
            .append(SourceEntry::HoldPrepared {
                netns: pod.netns.clone(),
            })
            .at(step)?;
        let netns = netns::open(&self.node.host, &pod.netns).at(step)?;
        self.prepared_hold = Some(Hold::prepare(netns, QueueNumbers::default()).await.at(step)?);
        let uid = &self.plan.source_pod_uid;
        let surveyed = self
            .node
            .carry
            .survey(
                uid,
                pod.netns.clone(),
                pod.own_address,
                &pod.addresses,
                &self.target_at()?,
            )
            .await;
        self.hand_over = Some(surveyed.at(step)?);
        Ok(())
    }

    async fn copy_files(&self, pod: &SourcePod) -> Result<Vec<files::Base>, Failure> {
        let step = SourceStep::CopyFiles;
        let sender = self.sender(step)?;
        let mut bases = Vec::new();
        for part in pod.parts(&self.node.host) {
            let spec = ObjectSpec::new(part.kind(godwit_transfer::Pass::Base));
            let base = send_stream(sender, spec, move |writer| files::write_base(part, writer))
                .await
                .at(step)?;
            bases.push(base);
        }
        Ok(bases)
    }

    async fn prepare_checkpoints(&mut self, pod: &SourcePod) -> Result<Vec<Waiting>, Failure> {
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

    async fn end_parking(&mut self, pod: &SourcePod) -> Result<(), Failure> {
        let step = SourceStep::EndParking;
        let first = pod
            .containers
            .first()
            .map(|container| container.name().to_owned());
        let (tell, parked) = watch::channel(false);
        let Self {
            link,
            memory,
            journal,
            status,
            deadline,
            ..
        } = self;
        let (sender, receiver) = link.as_mut().ok_or_else(|| not_connected(step))?;
        sender.send(Message::EndParking(Empty {})).await.at(step)?;
        let starting = async {
            talk::expect(
                receiver,
                step,
                |message| matches!(message, Message::Parked(parked) if Some(&parked.container) == first.as_ref()),
            )
            .await?;
            tell.send_replace(true);
            Ok(())
        };
        // Until kubelet has started the target's containers the pod goes on writing.
        let copying = async {
            match memory {
                Some(memory) => memory.copy(sender, journal, status, *deadline, parked).await,
                None => Ok(()),
            }
        };
        try_join(starting, copying).await.map(|((), ())| ())
    }

    async fn track_memory(&mut self, pod: &SourcePod) -> Result<(), Failure> {
        match Memory::begin(&self.node, pod, self.wish).await? {
            Choice::PreCopy(memory) => self.memory = Some(*memory),
            Choice::StopAndCopy(report) => {
                budget_of_stop_and_copy(&self.node, pod, &self.wish)?;
                self.status.say(|status| status.memory = Some(report));
            }
        }
        Ok(())
    }

    /// Rounds until the rest is small enough for the freeze.
    async fn copy_memory(&mut self) -> Result<(), Failure> {
        let Self {
            link,
            memory: Some(memory),
            journal,
            status,
            deadline,
            ..
        } = self
        else {
            return Ok(());
        };
        let (sender, _) = link
            .as_ref()
            .ok_or_else(|| not_connected(SourceStep::CopyMemory))?;
        let (_tell, ready) = watch::channel(true);
        memory.copy(sender, journal, status, *deadline, ready).await
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

fn not_connected(step: SourceStep) -> Failure {
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
