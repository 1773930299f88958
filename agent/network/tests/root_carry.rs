//! Open connections follow a pod from node to node and home again, while kube-proxy's rules watch on every node.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests are outside of test functions, for which clippy.toml allows these"
)]

mod lab;
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::wildcard_imports,
    reason = "lengths and constants of the C interface are small"
)]
#[path = "lab/repair.rs"]
mod repair;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use godwit_network::Netns;
use godwit_network::carry::{
    CarryRecord, Origin, add_address, apply, end, flip, in_use, prepare, remove_address, settle, snapshot,
    start_forwarding, survey_forward, survey_own, sweep, take_over_home,
};
use godwit_network::hold::{Hold, QueueNumbers};
use lab::{Lab, within};

const CARRIED: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 7);
/// The address, and its home.
const AT_HOME: (Ipv4Addr, u8) = (CARRIED, 1);
const PORT: u16 = 80;

/// Servers stop when this changes.
static FREEZE: AtomicU32 = AtomicU32::new(0);
/// So one test at a time.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Answers every eight bytes, on a thread of its own, until the peer closes.
fn serve(mut socket: TcpStream) {
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

fn serve_all(netns: &Netns, port: u16) {
    let listener = netns
        .visit(|| Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap()))
        .unwrap();
    std::thread::spawn(move || listener.incoming().for_each(|socket| serve(socket.unwrap())));
}

struct Client {
    name: &'static str,
    netns: Netns,
    target: SocketAddrV4,
    socket: TcpStream,
    count: u64,
}

impl Client {
    fn connect(name: &'static str, netns: &Netns, target: SocketAddrV4) -> Self {
        let socket = Self::dial(name, netns, target);
        Self {
            name,
            netns: netns.clone(),
            target,
            socket,
            count: 0,
        }
    }

    fn dial(name: &'static str, netns: &Netns, target: SocketAddrV4) -> TcpStream {
        let dialled = netns
            .visit(|| Ok(TcpStream::connect_timeout(&target.into(), Duration::from_secs(4))))
            .unwrap();
        let socket = dialled.unwrap_or_else(|error| panic!("{name} to {target}: {error}"));
        socket.set_nodelay(true).unwrap();
        // A lost packet comes again after five seconds only.
        socket.set_read_timeout(Some(Duration::from_secs(4))).unwrap();
        socket
    }

    fn ask(&mut self) {
        self.count += 1;
        self.socket.write_all(&self.count.to_be_bytes()).unwrap();
    }

    fn hear(&mut self, when: &str) {
        let mut buffer = [0; 8];
        self.socket
            .read_exact(&mut buffer)
            .unwrap_or_else(|error| panic!("{}, {when}: {error}", self.name));
        assert_eq!(u64::from_be_bytes(buffer), self.count, "{}", self.name);
    }

    fn exchange(&mut self, when: &str) {
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

fn node_address(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 10 + n)
}

struct Place<'a> {
    node: u8,
    pod: &'a str,
    address: Ipv4Addr,
}

/// One move of the sockets, as the agents do it; gives the sockets at the new place and the two records: the new owner's, and the old node's, if
/// that is another one.
async fn migrate(
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

/// Nodes at which the rule against invalid packets never matched.
fn undropped(nodes: &[Netns]) -> usize {
    let list: String = nodes
        .iter()
        .map(|node| within(node, "nft list chain ip kube f"))
        .collect();
    list.matches("counter packets 0 ").count()
}

fn filters(nodes: &[Netns]) -> Vec<String> {
    let read =
        "cd /proc/sys/net/ipv4/conf; cat cni0/rp_filter cni0/accept_local eth0/rp_filter eth0/accept_local";
    nodes.iter().map(|node| within(node, read)).collect()
}

/// Ends the threads that serve these sockets, without a word on the wire: a pod that is frozen.
fn hush(sockets: &[TcpStream]) {
    FREEZE.fetch_add(1, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(100));
    let _ = sockets;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_connections_follow_the_pod_everywhere() {
    let _turn = TURN.lock().await;
    let mut lab = Lab::new();
    lab.nodes();
    let first = lab.pod("first", 1, 7);
    let second = lab.pod("second", 2, 5);
    let third = lab.pod("third", 3, 5);
    let fourth = lab.pod("fourth", 1, 20);
    let beside_third = lab.pod("beside-third", 3, 6);
    let beside_fourth = lab.pod("beside-fourth", 1, 21);
    let neighbours: Vec<_> = (1..=3).map(|n| lab.pod(&format!("c{n}"), n, 9)).collect();
    let nodes: Vec<_> = (1..=3).map(|n| lab.get(&format!("n{n}"))).collect();
    for (index, node) in nodes.iter().enumerate() {
        // A service in front of the pod, a node port with masquerading, and a service which the pod itself uses: other
        // nodes would choose another backend for it.
        let backend = if index == 0 { "10.244.3.9" } else { "10.244.2.9" };
        let own = node_address(u8::try_from(index).unwrap() + 1);
        for chain in ["pre", "out"] {
            within(
                node,
                &format!("nft add rule ip kube {chain} ip daddr 10.96.0.7 tcp dport 80 dnat to {CARRIED}"),
            );
            within(
                node,
                &format!("nft add rule ip kube {chain} ip daddr 10.96.0.8 tcp dport 90 dnat to {backend}"),
            );
            within(
                node,
                &format!(
                    "nft add rule ip kube {chain} ip daddr {own} tcp dport 30080 mark set 1 dnat to {CARRIED}:80"
                ),
            );
        }
        within(node, "nft add rule ip kube post mark 1 masquerade");
        within(node, "ip route replace 10.77.0.0/24 dev eth0 rto_min 5s");
        for n in 1..=3 {
            let via = if n == index + 1 {
                "dev cni0".into()
            } else {
                format!("via {}", node_address(u8::try_from(n).unwrap()))
            };
            within(
                node,
                &format!("ip route replace 10.244.{n}.0/24 {via} rto_min 5s"),
            );
        }
    }
    let direct = SocketAddrV4::new(CARRIED, PORT);
    let service = SocketAddrV4::new(Ipv4Addr::new(10, 96, 0, 7), PORT);
    let node_port = SocketAddrV4::new(node_address(3), 30080);
    let used = SocketAddrV4::new(Ipv4Addr::new(10, 96, 0, 8), 90);

    for pod in &neighbours {
        serve_all(pod, 90);
    }
    let outbound = Client::dial("pod", &first, used);
    let filters_before = filters(&nodes);
    let listener = first
        .visit(|| Ok(TcpListener::bind(("0.0.0.0", PORT)).unwrap()))
        .unwrap();
    let mut clients = Vec::new();
    let mut sockets = vec![];
    for (name, netns, target) in [
        ("pod on n1", &neighbours[0], direct),
        ("pod on n2", &neighbours[1], direct),
        ("pod on n3", &neighbours[2], direct),
        ("pod on n2 by service", &neighbours[1], service),
        ("pod on n3 by service", &neighbours[2], service),
        ("node n1", &nodes[0], direct),
        ("node n1 by service", &nodes[0], service),
        ("node n2", &nodes[1], direct),
        ("node n3", &nodes[2], direct),
        ("node n2 by node port of n3", &nodes[1], node_port),
    ] {
        clients.push(Client::connect(name, netns, target));
        sockets.push(listener.accept().unwrap().0);
    }
    // Until the freeze somebody serves them; a server that stops between two questions is a frozen one.
    for (client, socket) in clients.iter_mut().zip(&mut sockets) {
        client.ask();
        let mut buffer = [0; 8];
        socket.read_exact(&mut buffer).unwrap();
        socket.write_all(&buffer).unwrap();
        client.hear("before the move");
    }
    drop(listener);
    assert!(in_use(&first, CARRIED).await.unwrap());

    let places = [
        Place {
            node: 1,
            pod: "first",
            address: CARRIED,
        },
        Place {
            node: 2,
            pod: "second",
            address: Ipv4Addr::new(10, 244, 2, 5),
        },
    ];
    sockets.push(outbound);
    let outbound_at = sockets.len() - 1;
    // The pod's own connection is not served: it asks.
    let asker = sockets.remove(outbound_at);
    let moved_asker;
    let (new, owner, forwarder) = {
        let result = migrate(&lab, AT_HOME, &places[0], &places[1], sockets, &mut clients, None).await;
        let frozen = repair::freeze(&asker);
        moved_asker = repair::restore(&second, &frozen);
        assert_eq!(repair::bound_to(&frozen), CARRIED);
        result
    };
    let mut asking = Client {
        name: "the pod itself by service",
        netns: second.clone(),
        target: used,
        socket: moved_asker,
        count: 0,
    };
    asking
        .socket
        .set_read_timeout(Some(Duration::from_secs(4)))
        .unwrap();
    asking.exchange("after the move");
    let forwarder = forwarder.unwrap();
    drop(asker);
    lab.delete("first");
    drop(first);

    assert!(in_use(&second, CARRIED).await.unwrap());
    for client in &mut clients {
        client.exchange("after the source is gone");
    }
    asking.exchange("after the source is gone");
    serve_all(&second, PORT);
    for client in &mut clients {
        // New connections to the old address work, too.
        let mut again = Client::connect(client.name, &client.netns, client.target);
        again.exchange("a new connection");
    }
    // Records may be applied again, and a sweep leaves what they back.
    for (node, record) in [(&nodes[1], &owner), (&nodes[0], &forwarder)] {
        let before = snapshot(node).await.unwrap();
        apply(node, record).await.unwrap();
        sweep(node, std::slice::from_ref(record)).await.unwrap();
        assert_eq!(snapshot(node).await.unwrap(), before);
        assert!(!before.is_empty());
    }
    for client in &mut clients {
        client.exchange("after applying again");
    }
    assert_eq!(undropped(&nodes), 3, "no node dropped anything as invalid");

    let [_, second_place] = places;
    // The kernel forgets a masqueraded connection when it is to leave by another interface (nf_nat_oif_changed): a node
    // port of the node that the pod leaves or comes to is not kept.
    clients.retain(|client| client.target != node_port);
    // On to n3: the home is repointed. The old threads must not answer any more.
    hush(&new);
    let places = [
        second_place,
        Place {
            node: 3,
            pod: "third",
            address: Ipv4Addr::new(10, 244, 3, 5),
        },
    ];
    let home = forwarder.repoint(&nodes[0], node_address(3)).await.unwrap();
    let before_home = home.clone();
    let (new, owner, transit) = migrate(
        &lab,
        AT_HOME,
        &places[0],
        &places[1],
        new,
        &mut clients,
        Some(&home),
    )
    .await;
    drop(second);
    lab.delete("second");
    end(&nodes[1], &transit.unwrap()).await.unwrap();
    for client in &mut clients {
        client.exchange("on n3, after the source is gone");
    }
    assert!(snapshot(&nodes[1]).await.unwrap().is_empty());

    // To another pod of the same node.
    hush(&new);
    let [_, third_place] = places;
    let places = [
        third_place,
        Place {
            node: 3,
            pod: "beside-third",
            address: Ipv4Addr::new(10, 244, 3, 6),
        },
    ];
    let (new, beside_owner, none) =
        migrate(&lab, AT_HOME, &places[0], &places[1], new, &mut clients, None).await;
    assert!(none.is_none());
    drop(third);
    lab.delete("third");
    for client in &mut clients {
        client.exchange("in the other pod, after the source is gone");
    }
    serve_all(&beside_third, PORT);
    for client in &mut clients {
        Client::connect(client.name, &client.netns, client.target)
            .exchange("a new connection to the other pod");
    }
    assert_eq!(undropped(&nodes), 3, "no node dropped anything as invalid");

    // And home again.
    hush(&new);
    let fourth_address = Ipv4Addr::new(10, 244, 1, 20);
    let places = [
        &places[1],
        &Place {
            node: 1,
            pod: "fourth",
            address: fourth_address,
        },
    ];
    let (new, home_owner, transit) =
        migrate(&lab, AT_HOME, places[0], places[1], new, &mut clients, None).await;
    drop(beside_third);
    lab.delete("beside-third");
    end(&nodes[2], &transit.unwrap()).await.unwrap();
    for client in &mut clients {
        client.exchange("at home, after the source is gone");
    }
    serve_all(&fourth, PORT);
    for client in &mut clients {
        Client::connect(client.name, &client.netns, client.target).exchange("a new connection at home");
    }
    assert!(snapshot(&nodes[2]).await.unwrap().is_empty());
    assert_eq!(undropped(&nodes), 3, "no node dropped anything as invalid");

    // To another pod of the home.
    hush(&new);
    let fifth_address = Ipv4Addr::new(10, 244, 1, 21);
    let fifth_place = Place {
        node: 1,
        pod: "beside-fourth",
        address: fifth_address,
    };
    let (new, last_owner, _) = migrate(&lab, AT_HOME, places[1], &fifth_place, new, &mut clients, None).await;
    drop(fourth);
    lab.delete("fourth");
    for client in &mut clients {
        client.exchange("in another pod at home, after the source is gone");
    }
    serve_all(&beside_fourth, PORT);
    for client in &mut clients {
        Client::connect(client.name, &client.netns, client.target)
            .exchange("a new connection to the other pod at home");
    }
    assert_eq!(undropped(&nodes), 3, "no node dropped anything as invalid");

    // Nothing is left, whether ended twice or swept.
    drop((new, owner, beside_owner, home_owner, before_home));
    drop(clients);
    end(&nodes[0], &last_owner).await.unwrap();
    end(&nodes[0], &last_owner).await.unwrap();
    sweep(&nodes[0], &[]).await.unwrap();
    remove_address(&beside_fourth, fifth_address, CARRIED)
        .await
        .unwrap();
    assert_eq!(filters(&nodes), filters_before);
    for netns in [&nodes[0], &nodes[1], &nodes[2], &beside_fourth] {
        assert!(
            snapshot(netns).await.unwrap().is_empty(),
            "{netns:?}: {:?}",
            snapshot(netns).await.unwrap()
        );
    }
}

/// Both ends of a connection are in pods that move: in turn, each to the other's home, and from pod to pod there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_that_have_both_moved_go_on_talking() {
    let _turn = TURN.lock().await;
    let mut lab = Lab::new();
    lab.nodes();
    let (master, replica) = ((CARRIED, 1), (Ipv4Addr::new(10, 244, 2, 7), 2));
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
