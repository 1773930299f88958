//! Which trees of a pod travel: the writable layer of each container, the pod's shared memory files, and its volumes.

use std::{
    io::Write,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use godwit_container::{cgroup::Freezer, discover::ContainerOnNode, host::Host};
use godwit_files::{BaseManifest, Marks, SharedMapped, Source, Stats};
use godwit_transfer::{ObjectKind, Pass};

use crate::volumes::Volume;

/// Where a pod's shared memory files are, in each of its containers.
pub const SHARED_MEMORY: &str = "/dev/shm";

/// Which tree it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tree {
    /// The writable layer of this container.
    Layer(String),
    /// The pod's shared memory files.
    SharedMemory,
    /// The volume of this name.
    Volume(String),
}

/// Where it is.
#[derive(Debug)]
enum Place {
    /// An upper directory, and the container's root as its processes see it. Where something else is mounted over the layer is left out.
    Overlay {
        upper: PathBuf,
        merged: PathBuf,
        hidden: Vec<PathBuf>,
    },
    /// A plain tree.
    Path(PathBuf),
    /// A plain tree that has been opened.
    Directory(OwnedFd),
}

/// One tree that travels.
#[derive(Debug)]
pub struct Part {
    what: What,
    place: Place,
}

/// A tree, and who may write to it.
#[derive(Debug)]
struct What {
    tree: Tree,
    /// Containers whose processes may have files of the tree mapped.
    freezers: Vec<Freezer>,
}

/// A tree whose base copy has been sent.
#[derive(Debug)]
pub struct Base {
    what: What,
    source: Source,
    manifest: BaseManifest,
}

impl Part {
    /// The writable layer of a container; `None` if its root is no overlay.
    pub fn layer(host: &Host, container: &ContainerOnNode, freezer: &Freezer) -> Option<Self> {
        let overlay = container.overlay.as_ref()?;
        let place = Place::Overlay {
            upper: host.path(&overlay.upper),
            merged: host.process(container.pid).join("root"),
            hidden: container.mount_destinations().map(Path::to_owned).collect(),
        };
        Some(Self::new(
            Tree::Layer(container.name.clone()),
            place,
            vec![freezer.clone()],
        ))
    }

    /// The shared memory files that all containers of a pod see, if this container has them.
    pub fn shared_memory(host: &Host, container: &ContainerOnNode, freezers: Vec<Freezer>) -> Option<Self> {
        // One that is a file system of the container's own is CRIU's business.
        let bound = container
            .mounts
            .iter()
            .any(|it| it.destination == Path::new(SHARED_MEMORY) && it.kind == "bind");
        let place = || Place::Path(host.process(container.pid).join("root/dev/shm"));
        bound.then(|| Self::new(Tree::SharedMemory, place(), freezers))
    }

    /// A volume; `freezers` are those of all containers of the pod.
    pub fn volume(volume: Volume, freezers: Vec<Freezer>) -> Self {
        Self::new(
            Tree::Volume(volume.name),
            Place::Directory(volume.directory),
            freezers,
        )
    }

    fn new(tree: Tree, place: Place, freezers: Vec<Freezer>) -> Self {
        Self {
            what: What { tree, freezers },
            place,
        }
    }

    /// As what it travels.
    pub fn kind(&self, pass: Pass) -> ObjectKind {
        self.what.kind(pass)
    }
}

impl Place {
    fn source(self) -> godwit_files::Result<Source> {
        match self {
            Self::Overlay {
                upper,
                merged,
                hidden,
            } => Ok(Source::overlay(&upper, Some(&merged), Marks::Trusted)?.exclude(&hidden)),
            Self::Path(root) => Source::tree(&root),
            Self::Directory(root) => Source::directory(root),
        }
    }
}

impl What {
    fn kind(&self, pass: Pass) -> ObjectKind {
        let container = match &self.tree {
            Tree::Layer(container) => Some(container.clone()),
            Tree::SharedMemory => None,
            Tree::Volume(volume) => {
                let volume = volume.clone();
                return ObjectKind::Volume { volume, pass };
            }
        };
        ObjectKind::FileStream { container, pass }
    }

    fn mapped(&self) -> godwit_files::Result<SharedMapped> {
        let pids = self
            .freezers
            .iter()
            .filter_map(|freezer| freezer.processes().ok())
            .flatten()
            .filter_map(|pid| u32::try_from(pid).ok());
        match self.tree {
            Tree::Layer(_) => SharedMapped::collect(pids),
            Tree::SharedMemory => Ok(SharedMapped::collect(pids)?.under(Path::new(SHARED_MEMORY))),
            // It may be mounted anywhere, and in parts.
            Tree::Volume(_) => SharedMapped::collect_files(pids),
        }
    }
}

impl Base {
    /// As what the next pass travels.
    pub fn kind(&self, pass: Pass) -> ObjectKind {
        self.what.kind(pass)
    }

    /// Whether there may be rounds between the base copy and the freeze: for volumes, which the target writes as they come.
    pub fn takes_rounds(&self) -> bool {
        matches!(self.what.tree, Tree::Volume(_))
    }

    /// Bytes of content that the last pass has sent.
    pub fn bytes(&self) -> u64 {
        self.manifest.stats().bytes
    }
}

/// Writes a tree while its processes run.
pub fn write_base(part: Part, to: &mut impl Write) -> godwit_files::Result<Base> {
    let Part { what, place } = part;
    let source = place.source()?;
    let manifest = godwit_files::write_base(&source, &what.mapped()?, to)?;
    Ok(Base {
        what,
        source,
        manifest,
    })
}

/// Writes what has changed since, while its processes run on.
pub fn write_round(base: Base, to: &mut impl Write) -> godwit_files::Result<Base> {
    let manifest = godwit_files::write_round(&base.source, &base.manifest, &base.what.mapped()?, to)?;
    Ok(Base { manifest, ..base })
}

/// Writes what has changed since, while its processes are frozen.
pub fn write_changes(base: &Base, to: &mut impl Write) -> godwit_files::Result<Stats> {
    godwit_files::write_delta(&base.source, &base.manifest, &base.what.mapped()?, to)
}
