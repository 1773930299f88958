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
    task: JoinHandle<()>,
}

impl Proxy {
    /// Leads to `to`. Connections have these fates, in the order in which they come; those after them hold.
    pub(crate) async fn start(to: SocketAddr, fates: impl IntoIterator<Item = Fate>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let fates = Arc::new(Mutex::new(fates.into_iter().collect::<VecDeque<_>>()));
        let (carried, connections) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (given, count, calls) = (fates.clone(), carried.clone(), connections.clone());
        let task = tokio::spawn(async move {
            let mut wires = tokio::task::JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                calls.fetch_add(1, Ordering::Relaxed);
                let fate = given.lock().unwrap().pop_front().unwrap_or(Fate::Holds);
                wires.spawn(carry(near, to, fate, count.clone()));
            }
        });
        Self {
            address,
            fates,
            carried,
            connections,
            task,
        }
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

async fn carry(near: TcpStream, to: SocketAddr, fate: Fate, carried: Arc<AtomicU64>) {
    let Ok(far) = TcpStream::connect(to).await else {
        return;
    };
    let ((mut near_in, mut near_out), (mut far_in, far_out)) = (near.into_split(), far.into_split());
    let limit = match fate {
        Fate::Holds => u64::MAX,
        Fate::Breaks(bytes) | Fate::Stalls(bytes) => bytes,
    };
    tokio::select! {
        _ = forward(&mut near_in, far_out, limit, &carried) => {}
        _ = copy(&mut far_in, &mut near_out) => {}
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
