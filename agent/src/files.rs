//! Which trees of a pod travel: the writable layer of each container, and the pod's shared memory files.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use godwit_container::{cgroup::Freezer, discover::ContainerOnNode, host::Host};
use godwit_files::{BaseManifest, Marks, SharedMapped, Source, Stats};
use godwit_transfer::{ObjectKind, Pass};

/// Where a pod's shared memory files are, in each of its containers.
pub const SHARED_MEMORY: &str = "/dev/shm";

/// One tree that travels.
#[derive(Debug)]
pub struct Part {
    /// The container whose layer it is; `None`: the pod's shared memory files.
    container: Option<String>,
    /// The tree itself: an upper directory, or a plain tree.
    root: PathBuf,
    /// The container's root as its processes see it; for layers.
    merged: Option<PathBuf>,
    /// Where something else is mounted over the layer.
    hidden: Vec<PathBuf>,
    /// Containers whose processes may have files of the tree mapped.
    freezers: Vec<Freezer>,
}

/// A tree whose base copy has been sent.
#[derive(Debug)]
pub struct Base {
    part: Part,
    source: Source,
    manifest: BaseManifest,
}

impl Part {
    /// The writable layer of a container; `None` if its root is no overlay.
    pub fn layer(host: &Host, container: &ContainerOnNode, freezer: &Freezer) -> Option<Self> {
        let overlay = container.overlay.as_ref()?;
        Some(Self {
            container: Some(container.name.clone()),
            root: host.path(&overlay.upper),
            merged: Some(host.process(container.pid).join("root")),
            hidden: container.mount_destinations().map(Path::to_owned).collect(),
            freezers: vec![freezer.clone()],
        })
    }

    /// The shared memory files that all containers of a pod see, if this container has them.
    pub fn shared_memory(host: &Host, container: &ContainerOnNode, freezers: Vec<Freezer>) -> Option<Self> {
        // One that is a file system of the container's own is CRIU's business.
        let bound = container
            .mounts
            .iter()
            .any(|it| it.destination == Path::new(SHARED_MEMORY) && it.kind == "bind");
        bound.then(|| Self {
            container: None,
            root: host.process(container.pid).join("root/dev/shm"),
            merged: None,
            hidden: Vec::new(),
            freezers,
        })
    }

    /// As what it travels.
    pub fn kind(&self, pass: Pass) -> ObjectKind {
        ObjectKind::FileStream {
            container: self.container.clone(),
            pass,
        }
    }

    fn source(&self) -> godwit_files::Result<Source> {
        match &self.merged {
            Some(merged) => {
                Ok(Source::overlay(&self.root, Some(merged), Marks::Trusted)?.exclude(self.hidden.iter()))
            }
            None => Source::tree(&self.root),
        }
    }

    fn mapped(&self) -> godwit_files::Result<SharedMapped> {
        let pids = self
            .freezers
            .iter()
            .filter_map(|freezer| freezer.processes().ok())
            .flatten();
        let mapped = SharedMapped::collect(pids.filter_map(|pid| u32::try_from(pid).ok()))?;
        Ok(if self.container.is_none() {
            mapped.under(Path::new(SHARED_MEMORY))
        } else {
            mapped
        })
    }
}

impl Base {
    /// The container whose layer it is; `None`: the pod's shared memory files.
    pub fn container(&self) -> Option<&str> {
        self.part.container.as_deref()
    }

    /// As what its changes travel.
    pub fn kind(&self) -> ObjectKind {
        self.part.kind(Pass::Delta)
    }
}

/// Writes a tree while its processes run.
pub fn write_base(part: Part, to: &mut impl Write) -> godwit_files::Result<Base> {
    let source = part.source()?;
    let manifest = godwit_files::write_base(&source, &part.mapped()?, to)?;
    Ok(Base {
        part,
        source,
        manifest,
    })
}

/// Writes what has changed since, while its processes are frozen.
pub fn write_changes(base: &Base, to: &mut impl Write) -> godwit_files::Result<Stats> {
    godwit_files::write_delta(&base.source, &base.manifest, &base.part.mapped()?, to)
}
