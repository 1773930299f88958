//! What the source sends, put where it belongs, and the news of it for whoever waits.

use std::{
    collections::{HashMap, HashSet},
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use godwit_transfer::{Event, Message, ObjectId, ObjectKind, ObjectSpec, Pass};
use thiserror::Error;
use tokio::sync::watch;

use super::{
    logs::Logs,
    page_server::store_dir,
    pages::{PagesError, PagesIn},
    stores::Stores,
    volumes::{Filling, Volumes, VolumesError},
};
use crate::volumes::Volume;

/// Where runc looks for the descriptors of a container.
const DESCRIPTORS: &str = "descriptors.json";
/// The pod's shared memory files among the trees; no container can be called so.
const SHARED_MEMORY: &str = "pod.shm";

/// What has arrived so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrivals {
    /// Objects that have arrived as a whole.
    pub(crate) ended: u32,
    /// The source wants the parking to end.
    pub(crate) end_parking: bool,
    /// Descriptors and base copies are complete.
    pub(super) spawn_ready: bool,
    /// The source is frozen.
    pub(super) frozen: bool,
    /// Containers whose images are complete.
    pub(super) images: HashSet<String>,
    /// Containers whose files are complete.
    pub(super) files: HashSet<String>,
}

/// Why something that arrived could not be kept.
#[derive(Debug, Error)]
pub(crate) enum InboxError {
    /// A file could not be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Memory.
    #[error(transparent)]
    Pages(#[from] PagesError),
    /// A volume.
    #[error(transparent)]
    Volumes(#[from] VolumesError),
}

impl InboxError {
    /// Stable reason.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => "NoSpaceForImages",
            Self::Write { .. } => "ImagesUnwritable",
            Self::Pages(error) => error.reason(),
            Self::Volumes(error) => error.reason(),
        }
    }
}

/// Where the bytes of an open object go.
#[derive(Debug)]
enum Open {
    File(PathBuf, File),
    /// To the store of this container.
    Pages(String),
    /// Into the volume itself.
    Volume(Filling),
    /// A pass of a container's log; without a file once it could not be written.
    Log(String, PathBuf, Option<File>),
}

/// The receiving side of one migration.
#[derive(Debug)]
pub(crate) struct Inbox {
    directory: PathBuf,
    open: HashMap<ObjectId, Open>,
    stores: Arc<Stores>,
    pages: HashMap<String, PagesIn>,
    /// Containers whose memory comes apart from their images.
    lazy: HashSet<String>,
    volumes: Volumes,
    logs: Logs,
    news: watch::Sender<Arrivals>,
}

impl Inbox {
    /// Puts everything below `directory`: images in one directory for each container, trees beside them.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            stores: Arc::new(Stores::new(&directory)),
            directory,
            open: HashMap::new(),
            pages: HashMap::new(),
            lazy: HashSet::new(),
            volumes: Volumes::default(),
            logs: Logs::default(),
            news: watch::Sender::default(),
        }
    }

    /// Lets the directories of volumes go: nothing more comes for them.
    pub(super) fn close_volumes(&mut self) {
        self.volumes = Volumes::default();
        self.open.retain(|_, open| !matches!(open, Open::Volume(_)));
    }

    /// The news, for whoever waits.
    pub(crate) fn watch(&self) -> watch::Receiver<Arrivals> {
        self.news.subscribe()
    }

    /// Where logs go.
    pub(super) fn logs(&self) -> Logs {
        self.logs.clone()
    }

    /// Where pages of memory are kept.
    pub(super) fn stores(&self) -> Arc<Stores> {
        self.stores.clone()
    }

    /// The images of these containers lack memory: they are complete only together with it, wherever it has come.
    pub(super) fn expect_memory(&mut self, containers: HashSet<String>) {
        self.lazy = containers;
    }

    /// Content of these volumes comes, and is written into them at once.
    pub(super) fn expect_volumes(&mut self, volumes: Vec<Volume>) {
        self.volumes = Volumes::new(volumes);
    }

    /// How many objects have arrived as a whole.
    pub(super) fn ended(&self) -> u32 {
        self.news.borrow().ended
    }

    /// True while a new connection of the source can take the place of the one there is: everything that was begun has arrived, and nothing
    /// has been said that cannot be said again.
    pub(super) fn may_be_resumed(&self) -> bool {
        let news = self.news.borrow();
        self.open.is_empty() && !(news.end_parking || news.spawn_ready || news.frozen)
    }

    /// Takes what came. Messages that are no news for the containers are given back.
    pub(super) async fn take(&mut self, event: Event) -> Result<Option<Message>, InboxError> {
        match event {
            Event::ObjectStart { id, spec } => self.begin(id, &spec)?,
            Event::Chunk { id, data } => {
                // The session has checked that the object is open.
                match self.open.get_mut(&id) {
                    Some(Open::File(path, file)) => {
                        file.write_all(&data).map_err(|source| InboxError::Write {
                            path: path.clone(),
                            source,
                        })?;
                    }
                    Some(Open::Pages(container)) => {
                        if let Some(pages) = self.pages.get_mut(container) {
                            pages.take(data).await?;
                        }
                    }
                    Some(Open::Volume(filling)) => filling.take(data).await?,
                    Some(Open::Log(container, _, log)) => {
                        if let Some(file) = log
                            && let Err(error) = file.write_all(&data)
                        {
                            self.logs.lost(container, &error.to_string());
                            *log = None;
                        }
                    }
                    None => {}
                }
            }
            Event::ObjectEnd { id, .. } => {
                match self.open.remove(&id) {
                    Some(Open::Volume(filling)) => self.volumes.end(filling).await?,
                    Some(Open::Log(container, path, Some(_))) => self.logs.arrived(&container, path),
                    _ => {}
                }
                self.news.send_modify(|news| news.ended += 1);
            }
            Event::Ignored => {}
            Event::Message(Message::ImagesComplete(name)) => {
                let container = &name.container;
                let none_came = || {
                    let lazy = self.lazy.contains(container);
                    lazy.then(|| PagesIn::start(container.clone(), self.stores.clone()))
                };
                if let Some(pages) = self.pages.remove(container).or_else(none_came) {
                    pages.finish(self.directory.join(&name.container)).await?;
                }
                return Ok(self.note(Message::ImagesComplete(name)));
            }
            Event::Message(message) => return Ok(self.note(message)),
        }
        Ok(None)
    }

    fn begin(&mut self, id: ObjectId, spec: &ObjectSpec) -> Result<(), InboxError> {
        if let ObjectKind::Pages { container, .. } = &spec.kind {
            self.pages
                .entry(container.clone())
                .or_insert_with(|| PagesIn::start(container.clone(), self.stores.clone()));
            self.open.insert(id, Open::Pages(container.clone()));
            return Ok(());
        }
        if let ObjectKind::Volume { volume, .. } = &spec.kind {
            let filling = self.volumes.begin(volume)?;
            self.open.insert(id, Open::Volume(filling));
            return Ok(());
        }
        let path = place(&self.directory, &spec.kind);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(spec.mode)
            .open(&path);
        let open = match (&spec.kind, file) {
            (ObjectKind::Log { container, .. }, file) => {
                if let Err(error) = &file {
                    self.logs.lost(container, &error.to_string());
                }
                Open::Log(container.clone(), path, file.ok())
            }
            (_, Ok(file)) => Open::File(path, file),
            (_, Err(source)) => return Err(InboxError::Write { path, source }),
        };
        self.open.insert(id, open);
        Ok(())
    }

    fn note(&mut self, message: Message) -> Option<Message> {
        let mut rest = None;
        self.news.send_modify(|news| match message {
            Message::EndParking(_) => news.end_parking = true,
            Message::SpawnReady(_) => news.spawn_ready = true,
            Message::ImagesComplete(name) => {
                news.images.insert(name.container);
            }
            Message::FilesComplete(name) => {
                news.files.insert(name.container);
            }
            other => {
                news.frozen |= matches!(other, Message::Frozen(_));
                rest = Some(other);
            }
        });
        rest
    }
}

/// Where an object goes. The session has checked that container and name are plain file names.
fn place(directory: &Path, kind: &ObjectKind) -> PathBuf {
    match kind {
        ObjectKind::CriuImage { container, name } => directory.join(container).join(name),
        ObjectKind::Descriptors { container } => directory.join(container).join(DESCRIPTORS),
        ObjectKind::Pages { container, .. } => store_dir(&directory.join(container)),
        ObjectKind::FileStream { container, pass } => tree(directory, container.as_deref(), *pass),
        // Never kept here: it goes where it belongs at once.
        ObjectKind::Volume { volume, .. } => directory.join(format!("{volume}.volume")),
        ObjectKind::Log { container, pass } => directory.join(format!("{container}.log.{pass}")),
    }
}

/// Where the tree of a container, or the pod's shared memory files, waits to be applied.
pub(super) fn tree(directory: &Path, container: Option<&str>, pass: Pass) -> PathBuf {
    let suffix = match pass {
        Pass::Base => "base",
        Pass::Delta => "delta",
    };
    directory.join(format!("{}.{suffix}", container.unwrap_or(SHARED_MEMORY)))
}

#[cfg(test)]
mod tests {
    use godwit_transfer::{ContainerName, Empty};

    use super::*;

    #[test]
    fn trees_lie_beside_the_images_and_never_among_them() {
        let images = place(
            Path::new("d"),
            &ObjectKind::CriuImage {
                container: "app".to_owned(),
                name: "core-1.img".to_owned(),
            },
        );
        assert_eq!(images, Path::new("d/app/core-1.img"));
        assert_eq!(
            tree(Path::new("d"), Some("app"), Pass::Base),
            Path::new("d/app.base")
        );
        assert_eq!(
            tree(Path::new("d"), None, Pass::Delta),
            Path::new("d/pod.shm.delta")
        );
    }

    #[tokio::test]
    async fn images_that_lack_memory_are_not_complete_unless_it_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let mut inbox = Inbox::new(directory.path().to_path_buf());
        inbox.expect_memory(HashSet::from(["app".to_owned()]));
        let complete = |name: &str| Event::Message(Message::ImagesComplete(ContainerName::new(name)));
        assert!(inbox.take(complete("other")).await.is_ok());
        // There is not one image by which it could be told.
        assert!(inbox.take(complete("app")).await.is_err());
        assert!(!inbox.watch().borrow().images.contains("app"));
    }

    #[tokio::test]
    async fn news_is_kept_and_the_rest_given_back() {
        let mut inbox = Inbox::new(PathBuf::from("nowhere"));
        let news = inbox.watch();
        assert!(
            inbox
                .take(Event::Message(Message::EndParking(Empty {})))
                .await
                .unwrap()
                .is_none()
        );
        let complete = Message::ImagesComplete(ContainerName::new("app"));
        assert!(inbox.take(Event::Message(complete)).await.unwrap().is_none());
        assert!(
            inbox
                .take(Event::Message(Message::Frozen(Empty {})))
                .await
                .unwrap()
                .is_some()
        );
        assert!(news.borrow().end_parking && news.borrow().images.contains("app"));
    }
}
