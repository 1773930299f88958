//! One look at one pod.

use std::{sync::PoisonError, time::Duration};

use godwit_container::{
    cgroup::Freezer,
    discover::{ContainerOnNode, discover},
};
use godwit_crds::checks::{self, CheckInfo, source};
use godwit_crds::{CheckResult, FreezeBudget, MemoryMode, PodMigrationSpec};
use godwit_preflight::Finding;
use k8s_openapi::api::core::v1::Pod;

use super::{
    budget, engine,
    finding::{of_node, results},
    host_files,
    processes::{self, ContainerProcesses},
    time::{self, Way},
};
use crate::{
    failure::chain,
    node::Node,
    source::{moved, own_memory_of, resident_of},
};

/// What is to be looked at, and for what.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// What is to be done with it.
    pub spec: &'a PodMigrationSpec,
    /// Until it has to be done.
    pub left: Duration,
    /// UID of the migration.
    pub migration: &'a str,
}

/// Looks at the pod, as it runs on this node, with every check; stops and changes nothing. Gives one result for each check that was run:
/// where the containers are not found, the others cannot be.
pub async fn look(node: &Node, subject: &Subject<'_>) -> Vec<CheckResult> {
    let mut ran: Vec<&CheckInfo> = vec![&source::ENGINE, &source::CONTAINERS_FOUND];
    let (engine, found) = tokio::join!(engine::check(node), containers(node, subject));
    let mut findings: Vec<Finding> = engine.into_iter().collect();
    let processes = match found {
        Ok(processes) => processes,
        Err(message) => {
            findings.push(of_node(&source::CONTAINERS_FOUND, message));
            return results(&ran, &findings);
        }
    };
    let budget = subject.spec.freeze_budget.as_ref().map(FreezeBudget::duration);
    // One that cannot be read is refused by the operator.
    if let Some(Ok(budget)) = budget {
        ran.push(&source::FREEZE_BUDGET_EXCEEDED);
        let pids = processes.iter().flat_map(|of| &of.pids);
        let memory = pids.map(|pid| resident_of(&node.host, *pid)).sum();
        findings.extend(budget::check(node, memory, subject.spec.memory, budget).await);
    }
    if subject.spec.memory != MemoryMode::StopAndCopy {
        ran.push(&source::TIME_TOO_SHORT);
        let pids = processes.iter().flat_map(|of| &of.pids);
        let memory = pids.map(|pid| own_memory_of(&node.host, *pid)).sum();
        findings.extend(time::check(way(node, subject), memory));
    }
    ran.extend(checks::processes::ALL);
    let containers = processes::containers(subject.pod, processes);
    let destination = subject.spec.target.as_ref();
    let Some(destination) = destination.and_then(|target| target.node_name.as_deref()) else {
        findings.extend(processes::find(node, containers).await);
        return results(&ran, &findings);
    };
    // Where the scheduler decides, nobody can be asked yet.
    ran.extend(checks::files::ALL);
    let (found, compared) = tokio::join!(
        processes::find(node, containers.clone()),
        host_files::check(node, subject.migration, destination, containers)
    );
    findings.extend(found);
    findings.extend(compared);
    results(&ran, &findings)
}

fn way(node: &Node, subject: &Subject<'_>) -> Way {
    let of_node = node.bandwidth.as_ref();
    let of_node = of_node.map(|pace| pace.lock().unwrap_or_else(PoisonError::into_inner).cap());
    // One that cannot be read is refused by the operator.
    let own = subject.spec.bandwidth.as_ref();
    let own = own.and_then(|cap| cap.bytes_per_second().ok());
    Way {
        cap: of_node.into_iter().chain(own).min(),
        measured: node.copy_rate.get(),
        left: subject.left,
    }
}

/// The processes of every container that is to be moved. Fails with a message.
async fn containers(node: &Node, subject: &Subject<'_>) -> Result<Vec<ContainerProcesses>, String> {
    let uid = subject.pod.metadata.uid.as_deref().unwrap_or_default();
    let on_node = discover(&node.cri, &node.host, uid).await.map_err(|error| {
        format!(
            "{}; look at the container runtime of node {}",
            chain(&error),
            node.name
        )
    })?;
    let spec = subject.pod.spec.clone().unwrap_or_default();
    let wanted = moved(&spec, &subject.spec.restart_containers);
    wanted
        .map(|wanted| {
            let there = on_node.containers.iter().find(|it| it.name == wanted.name);
            let processes = there.map(|container| processes(node, container));
            match processes {
                Some(Ok(processes)) => Ok(processes),
                Some(Err(error)) => Err(format!("container {}: {error}", wanted.name)),
                None => Err(format!(
                    "container {} does not run; a pod moves only while all its containers do",
                    wanted.name
                )),
            }
        })
        .collect()
}

fn processes(node: &Node, container: &ContainerOnNode) -> Result<ContainerProcesses, String> {
    let freezer = Freezer::of_pid(&node.host, container.pid).map_err(|error| chain(&error))?;
    Ok(ContainerProcesses {
        container: container.name.clone(),
        pids: freezer.processes().map_err(|error| chain(&error))?,
    })
}
