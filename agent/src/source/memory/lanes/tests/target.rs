//! The target's side, as its task has it.

use std::{collections::HashSet, net::SocketAddr, sync::Arc};

use godwit_transfer::Limits;
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::timing;
use crate::{
    peer::{PeerListener, tests::authority::Authority},
    target::{lanes::Lanes, pages::PagesError, stores::Stores},
};

pub(super) const UID: &str = "5f0c7c0e-0000-4000-8000-000000000001";
pub(super) const CONTAINER: &str = "app";

pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) dir: TempDir,
    pub(super) stores: Arc<Stores>,
    /// Says that the pod is frozen.
    pub(super) freeze: Option<oneshot::Sender<()>>,
    letting_in: JoinHandle<()>,
    serving: JoinHandle<PagesError>,
}

impl Target {
    pub(super) async fn start(authority: &Authority) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let identity = Arc::new(authority.identity("n2"));
        let mut listener = PeerListener::bind(any, identity, timing(), Limits::default())
            .await
            .unwrap();
        let address = listener.address();
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let stores = Arc::new(Stores::new(dir.path()));
        let (door, mut callers) = mpsc::channel(8);
        let letting_in = tokio::spawn(async move {
            while let Some(caller) = listener.accept().await {
                if door.send(caller).await.is_err() {
                    return;
                }
            }
        });
        let (freeze, frozen) = oneshot::channel();
        let lanes = Lanes::new(stores.clone(), HashSet::from([CONTAINER.to_owned()]));
        let serving = tokio::spawn(async move {
            let frozen = async {
                if frozen.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            lanes.serve(&mut callers, frozen).await
        });
        Self {
            address,
            dir,
            stores,
            freeze: Some(freeze),
            letting_in,
            serving,
        }
    }

    /// What went wrong.
    pub(super) async fn failure(self) -> PagesError {
        self.serving.await.unwrap()
    }

    /// True if nothing has.
    pub(super) fn is_well(&self) -> bool {
        !self.serving.is_finished()
    }

    /// It is not there any more.
    pub(super) fn end(&self) {
        self.letting_in.abort();
        self.serving.abort();
    }
}
