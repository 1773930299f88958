//! Objects, messages, pings and broken links.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use godwit_transfer::{Abort, Nonce, ObjectId, Pass};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::{PeerError, dial};
use super::*;

async fn received(receiver: &mut Receiver, id: ObjectId) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        match receiver.recv().await.unwrap() {
            Event::Chunk { id: of, data } if of == id => bytes.extend_from_slice(&data),
            Event::ObjectEnd { id: of, len } if of == id => {
                assert_eq!(len, bytes.len() as u64);
                return bytes;
            }
            Event::ObjectStart { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn objects_arrive() {
    let ((source, _a), (_b, mut from_source), _listener) = frozen(Timing::default()).await;
    let sent: Vec<u8> = (0..3_000_000_u32)
        .map(|at| at.to_le_bytes()[at as usize % 2])
        .collect();
    let object = sent.clone();
    let sending = tokio::spawn(async move {
        let len = source
            .send_object(image("pages-1.img"), io::Cursor::new(object))
            .await
            .unwrap();
        assert_eq!(len, 3_000_000);
        // A file that grows: pieces of any length, none included.
        let id = source.begin_object(image("pages-2.img")).await.unwrap();
        for piece in [&b"ab"[..], b"", b"c"] {
            source.send_chunk(id, Bytes::from_static(piece)).await.unwrap();
        }
        source.end_object(id).await.unwrap();
        assert_eq!(source.object_bytes(), 3_000_003);
        (source, id)
    });
    let first = match from_source.recv().await.unwrap() {
        Event::ObjectStart { id, spec } => {
            assert_eq!(spec, image("pages-1.img"));
            id
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(received(&mut from_source, first).await, sent);
    let (_source, second) = sending.await.unwrap();
    assert_eq!(received(&mut from_source, second).await, b"abc");
}

#[tokio::test]
async fn objects_interleave_from_several_tasks() {
    let ((source, _a), (_b, mut from_source), _listener) = frozen(Timing::default()).await;
    let tasks: Vec<JoinHandle<()>> = (0..6_u8)
        .map(|nth| {
            let source = source.clone();
            tokio::spawn(async move {
                let id = source.begin_object(image(&format!("{nth}.img"))).await.unwrap();
                for _ in 0..20 {
                    source.send_chunk(id, vec![nth; 10_000].into()).await.unwrap();
                    tokio::task::yield_now().await;
                }
                source.end_object(id).await.unwrap();
            })
        })
        .collect();
    let mut kinds = std::collections::BTreeMap::new();
    let (mut ended, mut bytes) = (0, 0);
    while ended < 6 {
        match from_source.recv().await.unwrap() {
            Event::ObjectStart { id, spec } => drop(kinds.insert(id, spec)),
            Event::Chunk { id, data } => {
                let nth = data[0];
                assert_eq!(kinds[&id], image(&format!("{nth}.img")));
                assert!(data.iter().all(|byte| *byte == nth));
                bytes += data.len();
            }
            Event::ObjectEnd { .. } => ended += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bytes, 6 * 20 * 10_000);
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn an_abort_reaches_a_sender() {
    let ((source, mut from_target), (target, _b), _listener) = frozen(Timing::default()).await;
    let id = source.begin_object(image("pages-1.img")).await.unwrap();
    target
        .send(Message::Abort(Abort::new("Restore", "DiskFull", "no room")))
        .await
        .unwrap();
    expect(&mut from_target, "Abort").await;
    let error = source.send_chunk(id, vec![1].into()).await.unwrap_err();
    assert_eq!(error.reason(), "PeerAborted");
    source.send(Message::AbortOk(Empty {})).await.unwrap();
}

#[tokio::test]
async fn silent_sides_keep_each_other_alive() {
    let short = timing();
    let authority = Authority::new();
    let mut listener = listener(authority.identity("n2"), short).await;
    let identity = authority.identity("n1");
    let dialled = dial(listener.address(), "n2", &identity, short, Limits::default());
    let (source, mut from_target) = dialled.await.unwrap().split();
    source.send(Message::Hello(hello(Role::Migrate))).await.unwrap();
    let (target, mut from_source) = listener.accept().await.unwrap().welcome().await.unwrap();
    expect(&mut from_target, "Welcome").await;
    // Three times as long as silence may last; nobody even receives.
    tokio::time::sleep(short.silence * 3).await;
    let waited = from_target
        .recv_within(Duration::from_millis(50), "nothing")
        .await;
    assert_eq!(
        waited.unwrap_err().reason(),
        "PeerTooSlow",
        "pings are not shown, and the link is up"
    );
    source.send(Message::Ping(Nonce { nonce: 9 })).await.unwrap();
    drop(source);
    assert_eq!(from_source.recv().await.unwrap_err().reason(), "PeerClosed");
    // Not before: an answer that finds nobody to read it would make a lost connection of it.
    drop(from_target);
    drop(target);
}

/// Its queue is full all the time, and nothing comes from the other side but the answers to its pings.
#[tokio::test]
async fn who_sends_all_the_time_hears_the_other_side() {
    let short = timing();
    let ((source, _from_target), (_target, mut from_source), _listener) = frozen(short).await;
    let until = tokio::time::Instant::now() + short.silence * 3;
    // Several, so that there is always one that waits for room.
    let sending = (1..=6).map(|number| {
        let source = &source;
        async move {
            let name = format!("pages-{number}.img");
            let id = source.begin_object(image(&name)).await.unwrap();
            while tokio::time::Instant::now() < until {
                let chunk = Bytes::from(vec![7; 64 << 10]);
                source.send_chunk(id, chunk).await.expect("the link is up");
            }
            source.end_object(id).await.unwrap();
        }
    });
    let receiving = async {
        let mut left = 6;
        while left > 0 {
            match from_source.recv().await.expect("the link is up") {
                Event::Chunk { .. } => tokio::time::sleep(Duration::from_millis(2)).await,
                Event::ObjectEnd { .. } => left -= 1,
                _ => {}
            }
        }
    };
    tokio::join!(futures::future::join_all(sending), receiving);
}

/// A link between the two that can be cut (end the task) or go dead (cancel the token).
async fn relay(to: SocketAddr) -> (SocketAddr, JoinHandle<()>, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let dead = CancellationToken::new();
    let until = dead.clone();
    let task = tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(to).await.unwrap();
        tokio::select! {
            _ = copy_bidirectional(&mut near, &mut far) => {}
            () = until.cancelled() => {}
        }
        // Until the task is ended both sockets stay open.
        std::future::pending::<()>().await;
    });
    (address, task, dead)
}

/// Both sides agree on what is to come, and the first object has begun.
async fn begun(
    source: &Sender,
    from_target: &mut Receiver,
    target: &Sender,
    from_source: &mut Receiver,
) -> ObjectId {
    let manifest = Manifest {
        source_pod_uid: "s".into(),
        target_pod_uid: "t".into(),
        hostname: "h".into(),
        addresses: vec![],
        host_paths: vec![],
        other_files: vec![],
        containers: vec![ContainerEntry {
            name: "redis".into(),
            image_id: "i".into(),
            runtime: String::new(),
            image: "i".into(),
            owns_sysv: true,
            lazy: true,
        }],
        ..Manifest::default()
    };
    source.send(Message::Manifest(manifest)).await.unwrap();
    expect(from_source, "Manifest").await;
    target
        .send(Message::ManifestOk(godwit_transfer::Agreed::default()))
        .await
        .unwrap();
    expect(from_target, "ManifestOk").await;
    let base = ObjectKind::FileStream {
        container: None,
        pass: Pass::Base,
    };
    source.begin_object(ObjectSpec::new(base)).await.unwrap()
}

#[tokio::test]
async fn a_link_that_is_cut_inside_an_object() {
    let authority = Authority::new();
    let mut listener = listener(authority.identity("n2"), timing()).await;
    let (address, link, _dead) = relay(listener.address()).await;
    let identity = authority.identity("n1");
    let (dialled, accepted) = tokio::join!(greet(address, "n2", &identity, hello(Role::Migrate)), async {
        listener.accept().await.unwrap().welcome().await.unwrap()
    });
    let ((source, mut from_target), (target, mut from_source)) = (dialled.unwrap(), accepted);
    let id = begun(&source, &mut from_target, &target, &mut from_source).await;
    source.send_chunk(id, vec![1; 100_000].into()).await.unwrap();
    assert!(matches!(
        from_source.recv().await.unwrap(),
        Event::ObjectStart { .. }
    ));
    assert!(matches!(from_source.recv().await.unwrap(), Event::Chunk { .. }));
    link.abort();
    let error = from_source.recv().await.unwrap_err();
    assert!(
        matches!(error, PeerError::Lost { .. }),
        "an end without TLS's own is a broken link: {error:?}"
    );
    let error = from_target.recv().await.unwrap_err();
    assert!(matches!(error, PeerError::Lost { .. }), "{error:?}");
    let error = loop {
        if let Err(error) = source.send_chunk(id, vec![1; 100_000].into()).await {
            break error;
        }
    };
    assert_eq!(error.reason(), "ConnectionLost");
}

#[tokio::test]
async fn a_peer_that_is_gone_without_a_word() {
    let authority = Authority::new();
    let mut listener = listener(authority.identity("n2"), timing()).await;
    let (address, link, dead) = relay(listener.address()).await;
    let identity = authority.identity("n1");
    let (dialled, accepted) = tokio::join!(greet(address, "n2", &identity, hello(Role::Migrate)), async {
        listener.accept().await.unwrap().welcome().await.unwrap()
    });
    let ((_source, _from_target), (target, mut from_source)) = (dialled.unwrap(), accepted);
    // Both TCP connections stay up, but nothing comes through any more.
    dead.cancel();
    assert_eq!(from_source.recv().await.unwrap_err().reason(), "PeerSilent");
    let later = target
        .send(Message::ManifestOk(godwit_transfer::Agreed::default()))
        .await
        .unwrap_err();
    assert_eq!(later.reason(), "PeerSilent", "both halves say why");
    link.abort();
}

#[tokio::test]
async fn a_peer_that_takes_nothing() {
    let authority = Authority::new();
    let mut listener = listener(authority.identity("n2"), Timing::default()).await;
    let identity = authority.identity("n1");
    let short = Timing {
        stall: Duration::from_millis(300),
        ..Timing::default()
    };
    let dialled = dial(listener.address(), "n2", &identity, short, Limits::default());
    let (source, mut from_target) = dialled.await.unwrap().split();
    source.send(Message::Hello(hello(Role::Migrate))).await.unwrap();
    let (target, mut from_source) = listener.accept().await.unwrap().welcome().await.unwrap();
    expect(&mut from_target, "Welcome").await;
    let id = begun(&source, &mut from_target, &target, &mut from_source).await;
    // Nobody receives at the target: its queue fills, then both sockets, then ours.
    let chunk = Bytes::from(vec![1; 1 << 20]);
    let error = loop {
        if let Err(error) = source.send_chunk(id, chunk.clone()).await {
            break error;
        }
        assert!(source.object_bytes() < 1 << 30, "memory has no bound");
    };
    assert_eq!(error.reason(), "PeerStalled");
    drop(from_source);
}
