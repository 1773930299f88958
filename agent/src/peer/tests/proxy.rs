//! A wire between two agents that breaks when it is told to.

use std::{
    collections::VecDeque,
    future::pending,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// What becomes of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// Nothing.
    Holds,
    /// It breaks after so many bytes of the dialler.
    Breaks(u64),
    /// It carries nothing more after so many bytes of the dialler, and says so to nobody.
    Stalls(u64),
}

/// The wire.
pub(crate) struct Proxy {
    /// Where it is dialled.
    pub(crate) address: SocketAddr,
    fates: Arc<Mutex<VecDeque<Fate>>>,
    carried: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
    /// What becomes of all that there are now.
    now: watch::Sender<Option<Fate>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Leads to `to`. Connections have these fates, in the order in which they come; those after them hold.
    pub(crate) async fn start(to: SocketAddr, fates: impl IntoIterator<Item = Fate>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let fates = Arc::new(Mutex::new(fates.into_iter().collect::<VecDeque<_>>()));
        let (carried, connections) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let now = watch::Sender::new(None);
        let happens = now.clone();
        let (given, count, calls) = (fates.clone(), carried.clone(), connections.clone());
        let task = tokio::spawn(async move {
            let mut wires = tokio::task::JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                calls.fetch_add(1, Ordering::Relaxed);
                let fate = given.lock().unwrap().pop_front().unwrap_or(Fate::Holds);
                let mut happens = happens.subscribe();
                let count = count.clone();
                wires.spawn(async move {
                    let changed = async {
                        happens.changed().await.unwrap();
                        let now = happens.borrow_and_update();
                        *now
                    };
                    carry(near, to, fate, changed, &count).await;
                });
            }
        });
        Self {
            address,
            fates,
            carried,
            connections,
            now,
            task,
        }
    }

    /// Breaks all connections there are.
    pub(crate) fn cut(&self) {
        self.now.send_replace(Some(Fate::Breaks(0)));
    }

    /// Has all connections there are carry nothing more.
    pub(crate) fn stall(&self) {
        self.now.send_replace(Some(Fate::Stalls(0)));
    }

    /// The fates of the next connections.
    pub(crate) fn next(&self, fates: impl IntoIterator<Item = Fate>) {
        self.fates.lock().unwrap().extend(fates);
    }

    /// Bytes of the dialler so far.
    pub(crate) fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Cuts everything, and is not there any more.
    pub(crate) fn end(&self) {
        self.task.abort();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end();
    }
}

async fn carry(
    near: TcpStream,
    to: SocketAddr,
    mut fate: Fate,
    changed: impl Future<Output = Option<Fate>>,
    carried: &AtomicU64,
) {
    let Ok(far) = TcpStream::connect(to).await else {
        return;
    };
    let ((mut near_in, mut near_out), (mut far_in, far_out)) = (near.into_split(), far.into_split());
    let limit = match fate {
        Fate::Holds => u64::MAX,
        Fate::Breaks(bytes) | Fate::Stalls(bytes) => bytes,
    };
    tokio::select! {
        _ = forward(&mut near_in, far_out, limit, carried) => {}
        _ = copy(&mut far_in, &mut near_out) => {}
        now = changed => fate = now.unwrap_or(fate),
    }
    if let Fate::Stalls(_) = fate {
        pending::<()>().await;
    }
}

async fn forward(
    from: &mut OwnedReadHalf,
    mut to: OwnedWriteHalf,
    limit: u64,
    carried: &AtomicU64,
) -> io::Result<()> {
    let mut left = limit;
    let mut buffer = vec![0; 64 << 10];
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = from.read(&mut buffer[..most]).await?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
        carried.fetch_add(read as u64, Ordering::Relaxed);
        left -= read as u64;
    }
    Ok(())
}
