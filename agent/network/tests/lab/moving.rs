//! Pods that move with their connections, between the nodes of the [`Lab`] and within one.

#![allow(dead_code, reason = "each test file uses a part of it")]

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::wildcard_imports,
    reason = "lengths and constants of the C interface are small"
)]
#[path = "repair.rs"]
pub mod repair;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use godwit_network::Netns;
use godwit_network::carry::{
    CarryRecord, Origin, add_address, flip, prepare, settle, start_forwarding, survey_forward, survey_own,
    take_over_home,
};
use godwit_network::hold::{Hold, QueueNumbers};

use crate::lab::Lab;

/// Servers stop when this changes.
static FREEZE: AtomicU32 = AtomicU32::new(0);

/// Answers every eight bytes, on a thread of its own, until the peer closes.
pub fn serve(mut socket: TcpStream) {
    let born = FREEZE.load(Ordering::SeqCst);
    std::thread::spawn(move || {
        let mut buffer = [0; 8];
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        while FREEZE.load(Ordering::SeqCst) == born {
            match socket.read_exact(&mut buffer) {
                Ok(()) if socket.write_all(&buffer).is_ok() => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    });
}

pub fn serve_all(netns: &Netns, port: u16) {
    let listener = netns
        .visit(|| Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap()))
        .unwrap();
    std::thread::spawn(move || listener.incoming().for_each(|socket| serve(socket.unwrap())));
}

pub struct Client {
    pub name: &'static str,
    pub netns: Netns,
    pub target: SocketAddrV4,
    pub socket: TcpStream,
    pub count: u64,
}

impl Client {
    pub fn connect(name: &'static str, netns: &Netns, target: SocketAddrV4) -> Self {
        let socket = Self::dial(name, netns, target);
        Self {
            name,
            netns: netns.clone(),
            target,
            socket,
            count: 0,
        }
    }

    pub fn dial(name: &'static str, netns: &Netns, target: SocketAddrV4) -> TcpStream {
        let dialled = netns
            .visit(|| Ok(TcpStream::connect_timeout(&target.into(), Duration::from_secs(4))))
            .unwrap();
        let socket = dialled.unwrap_or_else(|error| panic!("{name} to {target}: {error}"));
        socket.set_nodelay(true).unwrap();
        // A lost packet comes again after five seconds only.
        socket.set_read_timeout(Some(Duration::from_secs(4))).unwrap();
        socket
    }

    pub fn ask(&mut self) {
        self.count += 1;
        self.socket.write_all(&self.count.to_be_bytes()).unwrap();
    }

    pub fn hear(&mut self, when: &str) {
        let mut buffer = [0; 8];
        self.socket
            .read_exact(&mut buffer)
            .unwrap_or_else(|error| panic!("{}, {when}: {error}", self.name));
        assert_eq!(u64::from_be_bytes(buffer), self.count, "{}", self.name);
    }

    pub fn exchange(&mut self, when: &str) {
        self.ask();
        self.hear(when);
        assert_eq!(
            repair::retransmissions(&self.socket),
            0,
            "{}, {when}: nothing was lost",
            self.name
        );
    }
}

pub fn node_address(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 10 + n)
}

pub struct Place<'a> {
    pub node: u8,
    pub pod: &'a str,
    pub address: Ipv4Addr,
}

/// One move of the sockets, as the agents do it; gives the sockets at the new place and the two records: the new owner's, and the old node's, if
/// that is another one.
pub async fn migrate(
    lab: &Lab,
    (carried, home): (Ipv4Addr, u8),
    from: &Place<'_>,
    to: &Place<'_>,
    old: Vec<TcpStream>,
    clients: &mut [Client],
    third_home: Option<&CarryRecord>,
) -> (Vec<TcpStream>, CarryRecord, Option<CarryRecord>) {
    let (source, target) = (
        lab.get(&format!("n{}", from.node)),
        lab.get(&format!("n{}", to.node)),
    );
    let (old_pod, new_pod) = (lab.get(from.pod), lab.get(to.pod));
    add_address(&new_pod, to.address, carried).await.unwrap();
    add_address(&new_pod, to.address, carried).await.unwrap();
    let return_by = (to.node != home).then(|| node_address(home));
    let origin = if from.node == to.node {
        Origin::Pod(old_pod.clone(), from.address)
    } else {
        Origin::Node(node_address(from.node))
    };
    let owner = survey_own(&target, carried, to.address, origin, return_by)
        .await
        .unwrap();
    prepare(&target, &owner).await.unwrap();
    let forwarder = if from.node == to.node {
        None
    } else {
        let next_hop = node_address(to.node);
        let forwarder = survey_forward(
            &source,
            &old_pod,
            from.address,
            carried,
            next_hop,
            from.node == home,
        )
        .await
        .unwrap();
        prepare(&source, &forwarder).await.unwrap();
        Some(forwarder)
    };
    let prepared = Hold::prepare(old_pod.clone(), QueueNumbers::default())
        .await
        .unwrap();

    let active = prepared.activate().unwrap();
    for client in &mut *clients {
        client.ask();
    }
    std::thread::sleep(Duration::from_millis(20));
    let new: Vec<_> = old
        .iter()
        .map(|socket| repair::restore(&new_pod, &repair::freeze(socket)))
        .collect();
    active.persist_output_drop().await.unwrap();

    let start = Instant::now();
    flip(&target, &owner).await.unwrap();
    for socket in &new {
        serve(socket.try_clone().unwrap());
    }
    let taken_over = start.elapsed();
    if let Some(record) = third_home {
        flip(&lab.get(&format!("n{home}")), record).await.unwrap();
    }
    if let Some(forwarder) = &forwarder {
        flip(&source, forwarder).await.unwrap();
    }
    let flipped = start.elapsed();
    start_forwarding(&old_pod, from.address).await.unwrap();
    let ready = start.elapsed();
    let releasing = tokio::spawn(active.release_forward());
    let waiting = tokio::task::spawn_blocking({
        let mut sockets: Vec<_> = clients
            .iter()
            .map(|client| (client.name, client.count, client.socket.try_clone().unwrap()))
            .collect();
        move || {
            for (name, count, socket) in &mut sockets {
                let mut buffer = [0; 8];
                socket
                    .read_exact(&mut buffer)
                    .unwrap_or_else(|error| panic!("{name}: held question: {error}"));
                assert_eq!(u64::from_be_bytes(buffer), *count, "{name}");
                println!("  {name}: answered after {:?}", start.elapsed());
            }
        }
    });
    waiting.await.unwrap();
    releasing.await.unwrap().unwrap();
    println!(
        "n{} -> n{}: owned {taken_over:?}, flipped {flipped:?}, forwarding {ready:?}",
        from.node, to.node
    );
    if to.node == home {
        take_over_home(&new_pod, to.address, carried).await.unwrap();
    }
    for client in &mut *clients {
        client.exchange("before the announcements");
    }
    settle(&target, &owner).await.unwrap();
    if let Some(forwarder) = &forwarder {
        settle(&source, forwarder).await.unwrap();
    }
    if let Some(record) = third_home {
        settle(&lab.get(&format!("n{home}")), record).await.unwrap();
    }
    for client in &mut *clients {
        client.exchange("after the announcements");
    }
    // What the kernel of the frozen pod still had must not be heard, nor what it says when it is killed.
    drop(old);
    (new, owner, forwarder)
}

/// Ends the threads that serve these sockets, without a word on the wire: a pod that is frozen.
pub fn hush(sockets: &[TcpStream]) {
    FREEZE.fetch_add(1, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(100));
    let _ = sockets;
}
