//! Two agents on the loopback interface.

pub(crate) mod authority;
mod hostile;
pub(crate) mod proxy;
mod sessions;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use godwit_transfer::{
    ContainerEntry, ContainerName, Empty, Event, Hello, Limits, Manifest, Message, ObjectKind, ObjectSpec,
    Role,
};

use super::{PeerListener, Receiver, Sender, Timing, greet};
use crate::identity::Identity;
use authority::Authority;

/// Deadlines that keep failing tests short.
pub(crate) fn timing() -> Timing {
    Timing {
        handshake: Duration::from_secs(3),
        stall: Duration::from_millis(500),
        ping_after: Duration::from_millis(200),
        silence: Duration::from_millis(1500),
        ..Timing::default()
    }
}

async fn listener(identity: Identity, timing: Timing) -> PeerListener {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    PeerListener::bind(any, Arc::new(identity), timing, Limits::default())
        .await
        .unwrap()
}

fn hello(role: Role) -> Hello {
    Hello::new(role, "m-1", "n1")
}

/// Source n1 and target n2 after Welcome.
async fn link(timing: Timing) -> ((Sender, Receiver), (Sender, Receiver), PeerListener) {
    let authority = Authority::new();
    let mut listener = listener(authority.identity("n2"), timing).await;
    let source = authority.identity("n1");
    let address = listener.address();
    let dialled = async { greet(address, "n2", &source, hello(Role::Migrate)).await.unwrap() };
    let accepted = async { listener.accept().await.unwrap().welcome().await.unwrap() };
    let (source, target) = tokio::join!(dialled, accepted);
    (source, target, listener)
}

async fn expect(receiver: &mut Receiver, name: &str) {
    match receiver.recv().await.unwrap() {
        Event::Message(message) => assert_eq!(message.name(), name),
        other => panic!("{name} expected, {other:?} came"),
    }
}

/// The same up to Frozen.
async fn frozen(timing: Timing) -> ((Sender, Receiver), (Sender, Receiver), PeerListener) {
    let ((source, mut from_target), (target, mut from_source), listener) = link(timing).await;
    let entry = ContainerEntry {
        name: "redis".into(),
        image_id: "i".into(),
        runtime: "runc".into(),
        image: "i".into(),
        owns_sysv: true,
        lazy: true,
    };
    let manifest = Manifest {
        source_pod_uid: "s".into(),
        target_pod_uid: "t".into(),
        hostname: "h".into(),
        addresses: vec![],
        host_paths: vec![],
        other_files: vec![],
        containers: vec![entry],
        ..Manifest::default()
    };
    source.send(Message::Manifest(manifest)).await.unwrap();
    expect(&mut from_source, "Manifest").await;
    target
        .send(Message::ManifestOk(godwit_transfer::Agreed::default()))
        .await
        .unwrap();
    expect(&mut from_target, "ManifestOk").await;
    source.send(Message::EndParking(Empty {})).await.unwrap();
    expect(&mut from_source, "EndParking").await;
    target
        .send(Message::Parked(ContainerName::new("redis")))
        .await
        .unwrap();
    expect(&mut from_target, "Parked").await;
    source.send(Message::Frozen(Empty {})).await.unwrap();
    expect(&mut from_source, "Frozen").await;
    ((source, from_target), (target, from_source), listener)
}

fn image(name: &str) -> ObjectSpec {
    ObjectSpec::new(ObjectKind::CriuImage {
        container: "redis".into(),
        name: name.into(),
    })
}
