//! A connection whose both ends are in pods that move.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests are outside of test functions, for which clippy.toml allows these"
)]

mod lab;
#[path = "lab/moving.rs"]
mod moving;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::time::Duration;

use godwit_network::carry::add_address;
use lab::Lab;
use moving::{Client, Place, hush, migrate};

const PORT: u16 = 80;

/// In turn, each to the other's home, and from pod to pod there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_that_have_both_moved_go_on_talking() {
    let mut lab = Lab::new();
    lab.nodes();
    let (master, replica) = (
        (Ipv4Addr::new(10, 244, 1, 7), 1),
        (Ipv4Addr::new(10, 244, 2, 7), 2),
    );
    let first = lab.pod("first", 1, 7);
    let other = lab.pod("other", 2, 7);
    for (name, node, host) in [
        ("away", 3, 5),
        ("away-home", 3, 6),
        ("back", 1, 8),
        ("back-home", 1, 9),
    ] {
        lab.pod(name, node, host);
    }
    let place = |node, pod, host| Place {
        node,
        pod,
        address: Ipv4Addr::new(10, 244, node, host),
    };
    let listener = first
        .visit(|| Ok(TcpListener::bind(("0.0.0.0", PORT)).unwrap()))
        .unwrap();
    let mut clients = vec![Client::connect(
        "the replica",
        &other,
        SocketAddrV4::new(master.0, PORT),
    )];
    let accepted = listener.accept().unwrap().0;
    drop(listener);
    // Until the freeze.
    clients[0].ask();
    let mut buffer = [0; 8];
    (&accepted).read_exact(&mut buffer).unwrap();
    (&accepted).write_all(&buffer).unwrap();
    clients[0].hear("before all moves");

    // The master leaves its home, and moves on to another pod there.
    let (new, _, _) = migrate(
        &lab,
        master,
        &place(1, "first", 7),
        &place(3, "away", 5),
        vec![accepted],
        &mut clients,
        None,
    )
    .await;
    lab.delete("first");
    clients[0].exchange("the master has moved");
    hush(&new);
    let (new, _, _) = migrate(
        &lab,
        master,
        &place(3, "away", 5),
        &place(3, "away-home", 6),
        new,
        &mut clients,
        None,
    )
    .await;
    lab.delete("away");
    clients[0].exchange("the master has moved on");

    // The replica moves to the home that the master has left. Now the master asks.
    hush(&new);
    let Client { socket, .. } = clients.remove(0);
    let mut clients = vec![Client {
        name: "the master",
        netns: lab.get("away-home"),
        target: SocketAddrV4::new(replica.0, PORT),
        socket: new.into_iter().next().unwrap(),
        count: 0,
    }];
    clients[0]
        .socket
        .set_read_timeout(Some(Duration::from_secs(4)))
        .unwrap();
    let (new, _, _) = migrate(
        &lab,
        replica,
        &place(2, "other", 7),
        &place(1, "back", 8),
        vec![socket],
        &mut clients,
        None,
    )
    .await;
    lab.delete("other");
    clients[0].exchange("the replica has moved");
    hush(&new);
    // It brings along the address of the pod that it leaves, too, which is at home here.
    let moved_on = lab.get("back-home");
    add_address(
        &moved_on,
        Ipv4Addr::new(10, 244, 1, 9),
        Ipv4Addr::new(10, 244, 1, 8),
    )
    .await
    .unwrap();
    let (_new, _, _) = migrate(
        &lab,
        replica,
        &place(1, "back", 8),
        &place(1, "back-home", 9),
        new,
        &mut clients,
        None,
    )
    .await;
    lab.delete("back");
    clients[0].exchange("the replica has moved on");
}
