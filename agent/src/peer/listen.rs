//! Being called by other agents.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use godwit_transfer::{Event, Hello, Limits, Message, PROTOCOL_VERSIONS, Party, Refuse, Welcome, negotiate};
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Duration, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::connection::{Place, SOCKET_READ};
use super::dial::name_of;
use super::{Connection, PeerError, Receiver, Sender, Timing, socket};
use crate::identity::{Identity, node_of};

/// Callers that may wait to be accepted.
const WAITING: usize = 16;
/// Pause after an error of `accept`: out of descriptors, mostly.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Accepts agents of other nodes. Handshakes run beside each other, so that a slow one holds up nobody.
pub struct PeerListener {
    callers: mpsc::Receiver<Caller>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl PeerListener {
    /// Listens on `address`. `limits` bound what a caller may send.
    pub async fn bind(
        address: SocketAddr,
        identity: Arc<Identity>,
        timing: Timing,
        limits: Limits,
    ) -> Result<Self, PeerError> {
        let failed = |source| PeerError::Listen {
            address,
            source: Arc::new(source),
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (ready, callers) = mpsc::channel(WAITING);
        let door = Door {
            identity,
            timing,
            limits,
            places: Arc::new(Semaphore::new(timing.connections)),
            seats: Arc::default(),
            ready,
        };
        let task = tokio::spawn(async move { door.serve(listener).await });
        Ok(Self {
            callers,
            address,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next caller that has proved its node and said Hello in a version that we speak. Who fails in that is turned
    /// away and logged. Nothing is lost if the call is dropped; `None` never comes while the listener's runtime lives.
    pub async fn accept(&mut self) -> Option<Caller> {
        self.callers.recv().await
    }
}

impl Drop for PeerListener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Somebody who wants to talk, and has not been answered yet.
pub struct Caller {
    connection: Connection,
    hello: Hello,
    version: u32,
}

impl Caller {
    /// The caller's node, as its certificate proves.
    pub fn node(&self) -> &str {
        self.connection.node()
    }

    /// What the caller wants. Its node is the proven one.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Lets it in.
    pub async fn welcome(self) -> Result<(Sender, Receiver), PeerError> {
        let (sender, receiver) = self.connection.split();
        sender
            .send(Message::Welcome(Welcome {
                version: self.version,
            }))
            .await?;
        Ok((sender, receiver))
    }

    /// Turns it away; `reason` in `PascalCase`.
    pub async fn refuse(self, reason: &str, message: &str) -> Result<(), PeerError> {
        refuse(self.connection, reason, message).await
    }
}

async fn refuse(mut connection: Connection, reason: &str, message: &str) -> Result<(), PeerError> {
    let (sender, _) = connection.halves();
    sender.send(Message::Refuse(Refuse::new(reason, message))).await?;
    sender.flush().await
}

/// Connections of one address, counted.
type Seats = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One of the connections that an address may have; given back when dropped.
pub(super) struct Seat {
    seats: Seats,
    of: IpAddr,
}

impl Seat {
    fn take(seats: &Seats, of: IpAddr, most: usize) -> Option<Self> {
        let mut taken = seats.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(of).or_default();
        (*count < most).then(|| {
            *count += 1;
            Self {
                seats: Arc::clone(seats),
                of,
            }
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.of);
            }
        }
    }
}

struct Door {
    identity: Arc<Identity>,
    timing: Timing,
    limits: Limits,
    places: Arc<Semaphore>,
    seats: Seats,
    ready: mpsc::Sender<Caller>,
}

impl Door {
    async fn serve(self, listener: TcpListener) {
        let door = Arc::new(self);
        loop {
            match listener.accept().await {
                Ok((tcp, from)) => door.let_in(tcp, from),
                Err(error) => {
                    tracing::warn!(%error, "a connection of another agent could not be accepted");
                    sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }

    fn let_in(self: &Arc<Self>, tcp: TcpStream, from: SocketAddr) {
        let seat = Seat::take(&self.seats, from.ip(), self.timing.connections_of_one);
        let (Some(seat), Ok(all)) = (seat, Arc::clone(&self.places).try_acquire_owned()) else {
            tracing::warn!(%from, "too many connections: one was closed");
            return;
        };
        let place = Place {
            _all: all,
            _one: seat,
        };
        let door = Arc::clone(self);
        tokio::spawn(async move {
            let limit = door.timing.handshake;
            let late = Err(PeerError::Deadline {
                what: "opening the session",
                limit,
            });
            match timeout(limit, door.open(tcp, place)).await.unwrap_or(late) {
                // Nobody accepts any more if this fails.
                Ok(caller) => drop(door.ready.send(caller).await),
                Err(error) => {
                    let cause = std::error::Error::source(&error)
                        .map(ToString::to_string)
                        .unwrap_or_default();
                    tracing::warn!(%from, reason = error.reason(), cause, "{error}");
                }
            }
        });
    }

    async fn open(&self, tcp: TcpStream, place: Place) -> Result<Caller, PeerError> {
        socket::tune(&tcp);
        let tcp = BufReader::with_capacity(SOCKET_READ, tcp);
        let tls = TlsAcceptor::from(self.identity.server()).accept(tcp).await;
        let tls = tls.map_err(|source| PeerError::Handshake(Arc::new(source)))?;
        let node = tls
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| node_of(chain.first()?));
        let node = node.ok_or_else(|| PeerError::WrongNode {
            expected: "any node".to_owned(),
            got: String::new(),
        })?;
        let party = Party::Acceptor;
        let mut connection = Connection::new(
            tls.into(),
            party,
            node.clone(),
            self.timing,
            self.limits,
            Some(place),
        );
        let hello = match connection.halves().1.recv().await? {
            Event::Message(Message::Hello(hello)) => hello,
            other => {
                return Err(PeerError::Opening {
                    expected: "Hello",
                    got: name_of(&other),
                });
            }
        };
        if hello.node != node {
            refuse(
                connection,
                "WrongNode",
                "Hello names another node than the certificate",
            )
            .await?;
            return Err(PeerError::WrongNode {
                expected: node,
                got: hello.node,
            });
        }
        match negotiate(&PROTOCOL_VERSIONS, &(hello.min_version..=hello.max_version)) {
            Ok(version) => Ok(Caller {
                connection,
                hello,
                version,
            }),
            Err(error) => {
                refuse(connection, error.reason(), &error.to_string()).await?;
                Err(PeerError::Version(error))
            }
        }
    }
}
