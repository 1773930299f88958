//! Who must not get in, and who must not be talked to.

use std::sync::Arc;

use godwit_transfer::{Limits, Message, Role};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use rustls_pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::super::{PeerError, dial};
use super::*;
use crate::identity::IdentityError;

async fn greeted(as_who: &Identity, listener: &PeerListener, node: &str) -> Result<(), PeerError> {
    greet(listener.address(), node, as_who, hello(Role::AskVerdict))
        .await
        .map(drop)
}

/// The listener still serves others.
async fn serves(authority: &Authority, listener: &mut PeerListener) {
    let good = authority.identity("n1");
    let address = listener.address();
    let (asked, accepted) = tokio::join!(greet(address, "n2", &good, hello(Role::AskVerdict)), async {
        let caller = listener.accept().await.unwrap();
        assert_eq!(caller.node(), "n1");
        caller.welcome().await.unwrap()
    });
    asked.unwrap();
    drop(accepted);
}

#[tokio::test]
async fn another_ca() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let mut listener = listener(ours.identity("n2"), timing()).await;
    let error = greeted(&theirs.identity("n1"), &listener, "n2")
        .await
        .unwrap_err();
    assert_eq!(
        error.reason(),
        "TlsHandshakeFailed",
        "a dialler does not trust it"
    );

    // Trusts our CA, but is not of it: the listener must turn it away.
    let (chain, key) = theirs.sign(&Authority::params("n1"));
    let forged = Identity::new("n1", chain, key, ours.trust()).unwrap();
    let error = greeted(&forged, &listener, "n2").await.unwrap_err();
    assert!(
        matches!(error, PeerError::Lost { .. } | PeerError::Closed { .. }),
        "{error:?}"
    );
    serves(&ours, &mut listener).await;
}

#[tokio::test]
async fn expired_certificates() {
    let authority = Authority::new();
    let mut valid = listener(authority.identity("n2"), timing()).await;
    let error = greeted(&authority.expired("n1"), &valid, "n2").await.unwrap_err();
    assert!(
        matches!(error, PeerError::Lost { .. } | PeerError::Closed { .. }),
        "{error:?}"
    );
    serves(&authority, &mut valid).await;

    let expired = listener(authority.expired("n2"), timing()).await;
    let error = greeted(&authority.identity("n1"), &expired, "n2")
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "TlsHandshakeFailed");
    assert!(error.is_transient());
}

#[tokio::test]
async fn another_node_than_dialled() {
    let authority = Authority::new();
    let listener = listener(authority.identity("n2"), timing()).await;
    let error = greeted(&authority.identity("n1"), &listener, "n3")
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "TlsHandshakeFailed");
    let error = greeted(&authority.identity("n1"), &listener, "Not A Node")
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "NodeName");
}

#[tokio::test]
async fn another_node_in_hello() {
    let authority = Authority::new();
    let mut listener = listener(authority.identity("n2"), timing()).await;
    // The certificate says n3, Hello says n1.
    let error = greeted(&authority.identity("n3"), &listener, "n2")
        .await
        .unwrap_err();
    assert!(
        matches!(&error, PeerError::Refused { reason, .. } if reason == "WrongNode"),
        "{error:?}"
    );
    serves(&authority, &mut listener).await;
}

#[tokio::test]
async fn a_certificate_of_two_nodes() {
    let authority = Authority::new();
    let mut params = Authority::params("n2");
    params
        .subject_alt_names
        .push(rcgen::SanType::DnsName("n3.node.godwit.dev".try_into().unwrap()));
    let (chain, key) = authority.sign(&params);
    let error = Identity::new("n2", chain, key, authority.trust()).unwrap_err();
    assert!(matches!(error, IdentityError::OtherNode { .. }));
}

#[tokio::test]
async fn no_version_in_common() {
    let authority = Authority::new();
    let mut listener = listener(authority.identity("n2"), timing()).await;
    let newer = Hello {
        min_version: 7,
        max_version: 9,
        ..hello(Role::Migrate)
    };
    let error = greet(listener.address(), "n2", &authority.identity("n1"), newer)
        .await
        .map(drop)
        .unwrap_err();
    assert!(
        matches!(&error, PeerError::Refused { reason, .. } if reason == "VersionMismatch"),
        "{error:?}"
    );
    assert!(!error.is_transient());
    serves(&authority, &mut listener).await;
}

#[tokio::test]
async fn a_refusal_has_its_reason() {
    let authority = Authority::new();
    let mut listener = listener(authority.identity("n2"), timing()).await;
    let source = authority.identity("n1");
    let address = listener.address();
    let (asked, ()) = tokio::join!(greet(address, "n2", &source, hello(Role::Migrate)), async {
        listener
            .accept()
            .await
            .unwrap()
            .refuse("UnknownMigration", "ask again")
            .await
            .unwrap();
    });
    let error = asked.map(drop).unwrap_err();
    assert!(
        matches!(&error, PeerError::Refused { reason, .. } if reason == "UnknownMigration"),
        "{error:?}"
    );
    assert!(error.is_transient());
}

/// A client with whatever TLS, without a certificate of its own.
async fn foreign(
    address: SocketAddr,
    trusted: &str,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<usize> {
    let mut roots = RootCertStore::empty();
    roots
        .add(rustls_pki_types::CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"godwit/1".to_vec()];
    let name = ServerName::try_from("n2.node.godwit.dev").unwrap();
    let tcp = TcpStream::connect(address).await?;
    let mut tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    // With TLS 1.3 the client's side is done before the server has said no.
    tls.write_all(b"x").await?;
    tls.read(&mut [0; 16]).await
}

#[tokio::test]
async fn old_tls_and_no_certificate() {
    let authority = Authority::new();
    let mut listener = listener(authority.identity("n2"), timing()).await;
    let old = foreign(listener.address(), authority.pem(), &[&rustls::version::TLS12]).await;
    assert!(old.is_err(), "TLS 1.2 was accepted");
    let nameless = foreign(listener.address(), authority.pem(), &[&rustls::version::TLS13]).await;
    assert!(!matches!(nameless, Ok(1..)), "no certificate, and yet an answer");
    serves(&authority, &mut listener).await;
}

#[tokio::test]
async fn garbage_and_silence() {
    let authority = Authority::new();
    let mut listener = listener(authority.identity("n2"), timing()).await;
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 4096],
        &[0x16, 3, 1, 0xff, 0xff, 1],
    ] {
        let mut tcp = TcpStream::connect(listener.address()).await.unwrap();
        tcp.write_all(garbage).await.unwrap();
        let mut answer = Vec::new();
        // Ends at the handshake's deadline, if not before; a reset is as good as an end.
        let _ = tcp.read_to_end(&mut answer).await;
        assert!(answer.len() < 64, "more than an alert came back");
    }
    let mut silent = TcpStream::connect(listener.address()).await.unwrap();
    serves(&authority, &mut listener).await;
    assert_eq!(
        silent.read(&mut [0; 16]).await.unwrap_or(0),
        0,
        "the deadline ends it"
    );
}

#[tokio::test]
async fn a_server_that_never_answers() {
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = Authority::new();
    let address = mute.local_addr().unwrap();
    let short = Timing {
        handshake: Duration::from_millis(200),
        ..timing()
    };
    let error = dial(address, "n2", &authority.identity("n1"), short, Limits::default())
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.reason(), "PeerTooSlow");
    drop(mute);
    let error = dial(address, "n2", &authority.identity("n1"), short, Limits::default())
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.reason(), "ConnectFailed");
}

#[tokio::test]
async fn connections_are_bounded() {
    let authority = Authority::new();
    let few = Timing {
        connections_of_one: 2,
        ..timing()
    };
    let mut listener = listener(authority.identity("n2"), few).await;
    let held = [
        TcpStream::connect(listener.address()).await.unwrap(),
        TcpStream::connect(listener.address()).await.unwrap(),
    ];
    let mut third = TcpStream::connect(listener.address()).await.unwrap();
    assert_eq!(third.read(&mut [0; 1]).await.unwrap_or(0), 0, "closed at once");
    drop(held);
    // Places are given back, after the handshakes' deadline at the latest.
    tokio::time::sleep(Duration::from_millis(100)).await;
    serves(&authority, &mut listener).await;
    serves(&authority, &mut listener).await;
    serves(&authority, &mut listener).await;
}

#[tokio::test]
async fn a_peer_that_breaks_the_rules() {
    let authority = Authority::new();
    let mut listener = listener(authority.identity("n2"), timing()).await;
    let identity = authority.identity("n1");
    let dialled = dial(listener.address(), "n2", &identity, timing(), Limits::default());
    let (sender, mut receiver) = dialled.await.unwrap().split();
    // Not even our own side lets it happen.
    let error = sender.send(Message::Prepared(Empty {})).await.unwrap_err();
    assert_eq!(error.reason(), "OutOfOrder");
    sender.send(Message::Hello(hello(Role::Carry))).await.unwrap();
    let (theirs, _) = listener.accept().await.unwrap().welcome().await.unwrap();
    expect(&mut receiver, "Welcome").await;
    drop(theirs);
    assert_eq!(receiver.recv().await.unwrap_err().reason(), "PeerClosed");
    assert_eq!(
        receiver.recv().await.unwrap_err().reason(),
        "PeerClosed",
        "and so it stays"
    );
}
