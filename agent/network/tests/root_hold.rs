//! Holding packets of a real connection, in namespaces.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests are outside of test functions, for which clippy.toml allows these"
)]

mod lab;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use godwit_network::carry::snapshot;
use godwit_network::hold::{Hold, QueueNumbers, remove_all, silence};
use godwit_network::probe::packet_queues;
use lab::{Lab, within};

/// Pods a (10.9.0.1) and b (10.9.0.2) on one wire; a connection from b to a. What is lost comes again after five seconds.
fn pair(lab: &mut Lab) -> (TcpStream, TcpStream) {
    let a = lab.netns("a");
    let b = lab.netns("b");
    lab.veth("a", "eth0", "b", "eth0");
    for (netns, address) in [(&a, "10.9.0.1"), (&b, "10.9.0.2")] {
        within(
            netns,
            &format!(
                "ip addr add {address}/24 dev eth0; ip route replace 10.9.0.0/24 dev eth0 src {address} rto_min 5s"
            ),
        );
    }
    let listener = a.visit(|| Ok(TcpListener::bind("10.9.0.1:80").unwrap())).unwrap();
    let client = b
        .visit(|| Ok(TcpStream::connect("10.9.0.1:80").unwrap()))
        .unwrap();
    let (server, _) = listener.accept().unwrap();
    client.set_nodelay(true).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    server.set_nodelay(true).unwrap();
    server.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    (server, client)
}

fn exchange(server: &mut TcpStream, client: &mut TcpStream) {
    client.write_all(b"question").unwrap();
    let mut buffer = [0; 8];
    server.read_exact(&mut buffer).unwrap();
    server.write_all(b"answered").unwrap();
    client.read_exact(&mut buffer).unwrap();
}

#[tokio::test]
async fn a_kernel_that_holds_packets_says_so() {
    assert!(packet_queues().await.unwrap());
}

#[tokio::test]
async fn a_connection_over_loopback_is_in_the_backlog_until_it_is_accepted() {
    let mut lab = Lab::new();
    let a = lab.netns("a");
    within(&a, "ip link set lo up");
    let prepared = Hold::prepare(a.clone(), QueueNumbers::default()).await.unwrap();
    let backlog = prepared.backlog();
    assert!(backlog.is_empty().unwrap());
    for address in ["127.0.0.1:80", "[::1]:80"] {
        let listener = a.visit(|| Ok(TcpListener::bind(address).unwrap())).unwrap();
        assert!(backlog.is_empty().unwrap());
        let _asking = a.visit(|| Ok(TcpStream::connect(address).unwrap())).unwrap();
        assert!(!backlog.is_empty().unwrap());
        assert!(!backlog.emptied(Duration::from_millis(5)).await.unwrap());
        let _answering = listener.accept().unwrap();
        assert!(backlog.is_empty().unwrap() && backlog.emptied(Duration::ZERO).await.unwrap());
    }
    prepared.cancel().await.unwrap();
}

#[tokio::test]
async fn held_packets_arrive_after_a_rollback_without_retransmission() {
    let mut lab = Lab::new();
    let (mut server, mut client) = pair(&mut lab);
    let a = lab.get("a");
    let start = Instant::now();
    let prepared = Hold::prepare(a.clone(), QueueNumbers::default()).await.unwrap();
    let prepared_after = start.elapsed();
    exchange(&mut server, &mut client);
    let start = Instant::now();
    let active = prepared.activate().unwrap();
    let activated_after = start.elapsed();
    client.write_all(b"question").unwrap();
    let mut buffer = [0; 8];
    assert!(server.read(&mut buffer).is_err(), "input is held");
    let start = Instant::now();
    active.persist_output_drop().await.unwrap();
    active.persist_output_drop().await.unwrap();
    let silenced_after = start.elapsed();
    let start = Instant::now();
    active.rollback().await.unwrap();
    println!(
        "prepare {prepared_after:?}, activate {activated_after:?}, persist {silenced_after:?}, rollback {:?}",
        start.elapsed()
    );
    server.read_exact(&mut buffer).unwrap();
    server.write_all(b"answered").unwrap();
    client
        .read_exact(&mut buffer)
        .expect("the answer comes before any retransmission");
    assert!(snapshot(&a).await.unwrap().is_empty());
    exchange(&mut server, &mut client);
}

/// Tries to connect from `b` to `a`; gives up before the kernel sends the first packet again.
fn knock(lab: &mut Lab) -> std::thread::JoinHandle<bool> {
    let (a, b) = (lab.get("a"), lab.get("b"));
    let listener = a.visit(|| Ok(TcpListener::bind("0.0.0.0:0").unwrap())).unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = SocketAddr::from(([10, 9, 0, 1], port));
    std::thread::spawn(move || {
        let connected =
            b.visit(move || Ok(TcpStream::connect_timeout(&to, Duration::from_millis(900)).is_ok()));
        drop(listener);
        connected.unwrap()
    })
}

#[tokio::test]
async fn new_connections_wait_at_a_shut_door_and_old_ones_go_on() {
    let mut lab = Lab::new();
    let (mut server, mut client) = pair(&mut lab);
    let a = lab.get("a");
    let shut = || async {
        let mut prepared = Hold::prepare(a.clone(), QueueNumbers::default()).await.unwrap();
        prepared.shut().unwrap();
        prepared.shut().unwrap();
        prepared
    };
    let prepared = shut().await;
    let waiting = knock(&mut lab);
    exchange(&mut server, &mut client);
    std::thread::sleep(Duration::from_millis(100));
    assert!(!waiting.is_finished(), "it waits");
    assert!(
        prepared.backlog().emptied(Duration::ZERO).await.unwrap(),
        "nothing has come in"
    );
    drop(prepared);
    assert!(waiting.join().unwrap(), "it comes in when the hold is given up");

    remove_all(&a).await.unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let active = shut().await.activate().unwrap();
    let waiting = knock(&mut lab);
    std::thread::sleep(Duration::from_millis(100));
    assert!(!waiting.is_finished());
    active.rollback().await.unwrap();
    assert!(waiting.join().unwrap(), "and after a rollback");
    assert!(snapshot(&a).await.unwrap().is_empty());
}

#[tokio::test]
async fn output_is_silent_while_held_on_the_loopback_too() {
    let mut lab = Lab::new();
    let (mut server, mut client) = pair(&mut lab);
    let a = lab.get("a");
    let prepared = Hold::prepare(a.clone(), QueueNumbers::default()).await.unwrap();
    let active = prepared.activate().unwrap();
    server.write_all(b"unheard.").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(client.read(&mut [0; 8]).is_err(), "output vanishes");
    let connect = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        Ok(TcpStream::connect_timeout(&to, Duration::from_millis(300)).is_ok())
    };
    assert!(!a.visit(connect).unwrap(), "the loopback is silent");
    active.rollback().await.unwrap();
    assert!(a.visit(connect).unwrap(), "and speaks again");
}

#[tokio::test]
async fn a_dead_agent_does_not_cut_the_pod_off_unless_committed() {
    let mut lab = Lab::new();
    let (mut server, mut client) = pair(&mut lab);
    let a = lab.get("a");
    drop(
        Hold::prepare(a.clone(), QueueNumbers::default())
            .await
            .unwrap()
            .activate()
            .unwrap(),
    );
    // The sockets close within one glance of the receiving thread.
    std::thread::sleep(Duration::from_millis(200));
    exchange(&mut server, &mut client);
    let active = Hold::prepare(a.clone(), QueueNumbers::default())
        .await
        .unwrap()
        .activate()
        .unwrap();
    active.persist_output_drop().await.unwrap();
    drop(active);
    std::thread::sleep(Duration::from_millis(200));
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    server.write_all(b"unheard.").unwrap();
    assert!(client.read(&mut [0; 8]).is_err(), "still silent");
    silence(&a).await.unwrap();
    assert_eq!(snapshot(&a).await.unwrap().tables, ["godwit-hold"]);
    remove_all(&a).await.unwrap();
    remove_all(&a).await.unwrap();
    assert!(snapshot(&a).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_second_hold_of_the_same_pod_is_refused_by_the_kernel() {
    let mut lab = Lab::new();
    let (_server, _client) = pair(&mut lab);
    let a = lab.get("a");
    let first = Hold::prepare(a.clone(), QueueNumbers::default()).await.unwrap();
    let second = Hold::prepare(a.clone(), QueueNumbers::default()).await.unwrap();
    let first = first.activate().unwrap();
    let Err(error) = second.activate() else {
        panic!("two owners of one queue")
    };
    assert_eq!(error.reason(), "KernelRefused");
    first.rollback().await.unwrap();
}
