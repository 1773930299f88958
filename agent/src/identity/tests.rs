//! The way to a certificate, with an API server that is a function.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestStatus,
};
use kube::api::Api;
use kube::client::Body;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair,
};
use serde_json::{Value, json};

use super::request::Request;
use super::{Identity, IdentityError, IdentityKeeper, Trust};

type HttpRequest = axum::http::Request<Body>;

#[derive(Clone, Copy, PartialEq)]
enum Signer {
    Signs,
    SignsForAnotherNode,
    Denies,
    Sleeps,
}

/// An API server with certificate requests and one config map.
struct Server {
    signer: Signer,
    issuer: Issuer<'static, KeyPair>,
    ca: String,
    made: Mutex<Option<CertificateSigningRequest>>,
    created: AtomicUsize,
    looks: AtomicUsize,
}

impl Server {
    fn new(signer: Signer) -> Arc<Self> {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap().pem();
        let (made, created, looks) = (Mutex::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self {
            signer,
            issuer: Issuer::new(params, key),
            ca,
            made,
            created,
            looks,
        })
    }

    fn client(self: &Arc<Self>) -> kube::Client {
        let server = Arc::clone(self);
        let service = tower::service_fn(move |request: HttpRequest| {
            let server = Arc::clone(&server);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let (status, answer) = server.answer(head.method.as_str(), head.uri.path(), &body);
                let answer = Body::from(serde_json::to_vec(&answer).unwrap());
                Ok::<_, std::convert::Infallible>(
                    axum::http::Response::builder()
                        .status(status)
                        .body(answer)
                        .unwrap(),
                )
            }
        });
        kube::Client::new(service, "godwit-system")
    }

    fn answer(&self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        match (method, path) {
            ("GET", "/api/v1/namespaces/godwit-system/configmaps/godwit-ca") => {
                let data = json!({"ca.crt": self.ca});
                (
                    200,
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "godwit-ca"}, "data": data}),
                )
            }
            ("POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests") => {
                let mut request: CertificateSigningRequest = serde_json::from_slice(body).unwrap();
                let nth = self.created.fetch_add(1, Ordering::Relaxed);
                assert_eq!(request.spec.signer_name, "godwit.dev/agent");
                request.metadata.name = Some(format!(
                    "{}{nth}",
                    request.metadata.generate_name.clone().unwrap()
                ));
                *self.made.lock().unwrap() = Some(request.clone());
                (201, serde_json::to_value(request).unwrap())
            }
            ("GET", "/apis/certificates.k8s.io/v1/certificatesigningrequests/godwit-agent-0") => {
                let mut request = self.made.lock().unwrap().clone().unwrap();
                // Nothing yet at the first look.
                if self.looks.fetch_add(1, Ordering::Relaxed) > 0 {
                    request.status = self.status(&request);
                }
                (200, serde_json::to_value(request).unwrap())
            }
            other => panic!("{other:?}"),
        }
    }

    fn status(&self, request: &CertificateSigningRequest) -> Option<CertificateSigningRequestStatus> {
        let mut status = CertificateSigningRequestStatus::default();
        match self.signer {
            Signer::Sleeps => return None,
            Signer::Denies => {
                status.conditions = Some(vec![CertificateSigningRequestCondition {
                    type_: "Denied".to_owned(),
                    message: Some("not your node".to_owned()),
                    ..CertificateSigningRequestCondition::default()
                }]);
            }
            Signer::Signs | Signer::SignsForAnotherNode => {
                let pem = String::from_utf8(request.spec.request.0.clone()).unwrap();
                let mut asked = CertificateSigningRequestParams::from_pem(&pem).unwrap();
                asked.params.extended_key_usages = vec![
                    ExtendedKeyUsagePurpose::ClientAuth,
                    ExtendedKeyUsagePurpose::ServerAuth,
                ];
                if self.signer == Signer::SignsForAnotherNode {
                    asked.params.subject_alt_names =
                        vec![rcgen::SanType::DnsName("n9.node.godwit.dev".try_into().unwrap())];
                }
                let signed = asked.signed_by(&self.issuer).unwrap();
                status.certificate = Some(ByteString(signed.pem().into_bytes()));
            }
        }
        Some(status)
    }
}

async fn start(signer: Signer, limit: Duration) -> (Arc<Server>, Result<IdentityKeeper, IdentityError>) {
    let server = Server::new(signer);
    let keeper = IdentityKeeper::start(server.client(), "n1", "godwit-system", limit).await;
    (server, keeper)
}

#[tokio::test]
async fn a_certificate_is_asked_for_and_used() {
    let (server, keeper) = start(Signer::Signs, Duration::from_secs(20)).await;
    let identity = keeper.map(|keeper| keeper.identity()).unwrap();
    assert_eq!(identity.node(), "n1");
    assert_eq!(server.created.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_refused_request_says_why() {
    let (_, keeper) = start(Signer::Denies, Duration::from_secs(20)).await;
    let error = keeper.map(drop).unwrap_err();
    assert_eq!(error.reason(), "CertificateRefused");
    assert!(error.to_string().contains("not your node"));
}

#[tokio::test]
async fn a_certificate_of_another_node_is_not_used() {
    let (_, keeper) = start(Signer::SignsForAnotherNode, Duration::from_secs(20)).await;
    assert_eq!(keeper.map(drop).unwrap_err().reason(), "CertificateOfOtherNode");
}

#[tokio::test]
async fn a_request_outlives_a_deadline() {
    let server = Server::new(Signer::Sleeps);
    let requests: Api<CertificateSigningRequest> = Api::all(server.client());
    let request = Request::submit(&requests, "n1").await.unwrap();
    for _ in 0..2 {
        let error = request
            .signed(&requests, Duration::from_millis(250))
            .await
            .map(drop)
            .unwrap_err();
        assert_eq!(error.reason(), "CertificateNotSigned");
        assert!(error.to_string().contains("godwit-agent-0"));
    }
    assert_eq!(
        server.created.load(Ordering::Relaxed),
        1,
        "one request for both waits"
    );
}

#[tokio::test]
async fn parts_are_replaced_only_by_what_fits() {
    let (server, keeper) = start(Signer::Signs, Duration::from_secs(20)).await;
    let identity: Arc<Identity> = keeper.unwrap().identity();
    let before = identity.client();
    assert_eq!(
        Trust::from_pem(b"nothing").map(drop).unwrap_err().reason(),
        "NoCertificate"
    );
    let stranger = rcgen::generate_simple_self_signed(vec!["n9.node.godwit.dev".to_owned()]).unwrap();
    let key = || rustls_pki_types::PrivateKeyDer::Pkcs8(stranger.signing_key.serialize_der().into());
    let refused = identity.replace_certificate(vec![stranger.cert.der().clone()], key());
    assert_eq!(refused.unwrap_err().reason(), "CertificateOfOtherNode");
    assert!(Arc::ptr_eq(&before, &identity.client()), "the old one stays");
    identity
        .replace_trust(Trust::from_pem(server.ca.as_bytes()).unwrap())
        .unwrap();
    assert!(!Arc::ptr_eq(&before, &identity.client()));
}
