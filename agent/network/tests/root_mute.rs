//! A namespace that is mute, and then speaks at once.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are outside of test functions, for which clippy.toml allows these"
)]

mod lab;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use godwit_network::carry::snapshot;
use godwit_network::mute::{Voice, mute};
use godwit_network::{Error, Netns};
use lab::{Lab, within};

/// A connection from b (10.9.1.2) to a (10.9.1.1). What is lost comes again after five seconds.
fn pair(lab: &mut Lab) -> (TcpStream, TcpStream) {
    let a = lab.netns("a");
    let b = lab.netns("b");
    lab.veth("a", "eth0", "b", "eth0");
    for (netns, address) in [(&a, "10.9.1.1"), (&b, "10.9.1.2")] {
        within(
            netns,
            &format!(
                "ip addr add {address}/24 dev eth0; ip route replace 10.9.1.0/24 dev eth0 src {address} rto_min 5s"
            ),
        );
    }
    let listener = a.visit(|| Ok(TcpListener::bind("10.9.1.1:80").unwrap())).unwrap();
    let client = b
        .visit(|| Ok(TcpStream::connect("10.9.1.1:80").unwrap()))
        .unwrap();
    let (server, _) = listener.accept().unwrap();
    for stream in [&server, &client] {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    }
    (server, client)
}

fn loopback_answers(netns: &Netns) -> bool {
    let connect = || {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| Error::Missing(error.to_string()))?;
        let to = listener.local_addr().unwrap();
        Ok(TcpStream::connect_timeout(&to, Duration::from_millis(300)).is_ok())
    };
    netns.visit(connect).unwrap()
}

fn silent(client: &mut TcpStream) -> bool {
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let nothing = client.read(&mut [0; 8]).is_err();
    client.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    nothing
}

#[tokio::test]
async fn nothing_is_heard_until_the_voice_begins_and_everything_from_then_on() {
    let mut lab = Lab::new();
    let (mut server, mut client) = pair(&mut lab);
    let a = lab.get("a");
    mute(&a).await.unwrap();
    mute(&a).await.unwrap();
    server.write_all(b"unheard.").unwrap();
    assert!(silent(&mut client) && !loopback_answers(&a));

    let voice = Voice::prepare(a.clone()).await.unwrap();
    assert!(silent(&mut client), "preparing changes nothing");
    let speaking = voice.begin().unwrap();
    assert!(loopback_answers(&a));
    // More than a socket's buffer, while the rule is being taken away: all of it arrives long before a retransmission could.
    let long = vec![7; 4 << 20];
    let sent = long.clone();
    let sending = std::thread::spawn(move || server.write_all(&sent).map(|()| server));
    speaking.settle().await.unwrap();
    let mut heard = vec![0; 8 + long.len()];
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.read_exact(&mut heard).unwrap();
    assert!(heard.starts_with(b"unheard.") && heard[8..] == long);
    assert!(snapshot(&a).await.unwrap().is_empty(), "nothing is left");
    let mut server = sending.join().unwrap().unwrap();
    client.write_all(b"question").unwrap();
    server.read_exact(&mut [0; 8]).unwrap();
    assert!(loopback_answers(&a));
}

#[tokio::test]
async fn a_voice_that_is_lost_leaves_the_namespace_mute_and_another_can_begin() {
    let mut lab = Lab::new();
    let (mut server, mut client) = pair(&mut lab);
    let a = lab.get("a");
    mute(&a).await.unwrap();
    drop(Voice::prepare(a.clone()).await.unwrap().begin().unwrap());
    // Its thread looks up once every 20 ms.
    std::thread::sleep(Duration::from_millis(200));
    server.write_all(b"unheard.").unwrap();
    assert!(silent(&mut client) && !loopback_answers(&a));
    let speaking = Voice::prepare(a.clone()).await.unwrap().begin().unwrap();
    assert!(loopback_answers(&a));
    speaking.settle().await.unwrap();
    assert!(snapshot(&a).await.unwrap().is_empty());
}
