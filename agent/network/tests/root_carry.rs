//! Open connections follow a pod from node to node and home again, while kube-proxy's rules watch on every node.
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

use godwit_network::Netns;
use godwit_network::carry::{apply, end, in_use, remove_address, snapshot, sweep};
use lab::{Lab, within};
use moving::{Client, Place, hush, migrate, node_address, repair, serve_all};

const CARRIED: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 7);
/// The address, and its home.
const AT_HOME: (Ipv4Addr, u8) = (CARRIED, 1);
const PORT: u16 = 80;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_connections_follow_the_pod_everywhere() {
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
