//! All that is read of a pod for one look.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use godwit_proc::mountinfo::{self, Mount};

use crate::network::Sockets;
use crate::process::Process;
use crate::process::descriptor::Descriptor;
use crate::subject::Pod;

/// How long after a first look a second one shows what was only passing.
pub(crate) const AGAIN: Duration = Duration::from_millis(200);

/// The pod at one moment.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) containers: Vec<Seen>,
    /// Sockets of its network namespace.
    pub(crate) sockets: Sockets,
}

/// One container.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) processes: Vec<Process>,
    /// The mounts of each mount namespace of its processes.
    pub(crate) mounts: BTreeMap<String, Vec<Mount>>,
    /// Every socket that one of its processes has open.
    pub(crate) sockets: BTreeSet<u64>,
}

impl Scene {
    pub(crate) fn of(pod: &Pod) -> Self {
        let containers: Vec<Seen> = pod
            .containers
            .iter()
            .map(|container| {
                let processes = container
                    .pids
                    .iter()
                    .filter_map(|&pid| Process::read(&pod.proc, pid));
                Seen::of(&container.name, processes.collect())
            })
            .collect();
        let first = containers.iter().find_map(Seen::first);
        Self {
            sockets: first.map(|first| Sockets::read(&first.proc)).unwrap_or_default(),
            containers,
        }
    }
}

impl Seen {
    fn of(name: &str, mut processes: Vec<Process>) -> Self {
        // Numbers are given as in the container, not as in a namespace within it.
        let depth = processes
            .iter()
            .map(|process| process.status.inside.len())
            .min()
            .unwrap_or(0);
        for process in &mut processes {
            process.status.inside.truncate(depth);
        }
        let mut mounts = BTreeMap::new();
        for process in &processes {
            if let Some(namespace) = &process.namespaces.mount {
                mounts
                    .entry(namespace.clone())
                    .or_insert_with(|| mountinfo::read(&process.proc).unwrap_or_default());
            }
        }
        let descriptors = processes.iter().flat_map(|process| &process.descriptors);
        Self {
            name: name.to_owned(),
            sockets: descriptors.filter_map(Descriptor::socket).collect(),
            mounts,
            processes,
        }
    }

    /// The container's first process, whose namespaces are the container's.
    pub(crate) fn first(&self) -> Option<&Process> {
        self.processes.iter().min_by_key(|process| process.inside())
    }

    /// The mounts that a process sees.
    pub(crate) fn mounts_of(&self, process: &Process) -> &[Mount] {
        let namespace = process.namespaces.mount.as_ref();
        namespace
            .and_then(|namespace| self.mounts.get(namespace))
            .map_or(&[], Vec::as_slice)
    }

    /// Whether any of its mount namespaces has a mount of this id.
    pub(crate) fn has_mount(&self, id: u64) -> bool {
        self.mounts.values().flatten().any(|mount| mount.id == id)
    }
}
