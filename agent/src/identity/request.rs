//! Asking for a certificate.

use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestSpec,
};
use kube::api::{Api, ObjectMeta, PostParams};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::{Instant, sleep};

use super::IdentityError;
use super::material::certificates;
use super::node_name::dns_name;

/// Lifetime to ask for, in seconds; the signer may give less.
const LIFETIME: i32 = 24 * 3600;
/// First and longest pause between two looks at a request.
const LOOK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// A certificate with its chain, own first, and its key.
pub(super) type Certified = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// A request that has been made; kept over a deadline, so that an operator that is away for long finds one request of
/// each agent and not one for each try. Kubernetes collects requests by itself, signed ones after an hour.
pub(super) struct Request {
    name: String,
    key: KeyPair,
}

impl Request {
    /// Makes a key and asks for a certificate of `node`.
    pub(super) async fn submit(
        api: &Api<CertificateSigningRequest>,
        node: &str,
    ) -> Result<Self, IdentityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IdentityError::Request)?;
        let request = CertificateSigningRequest {
            metadata: ObjectMeta {
                generate_name: Some("godwit-agent-".to_owned()),
                ..ObjectMeta::default()
            },
            spec: CertificateSigningRequestSpec {
                request: ByteString(encoded(node, &key)?.into_bytes()),
                signer_name: godwit_crds::SIGNER_NAME.to_owned(),
                usages: Some(
                    ["digital signature", "client auth", "server auth"]
                        .map(str::to_owned)
                        .to_vec(),
                ),
                expiration_seconds: Some(LIFETIME),
                ..CertificateSigningRequestSpec::default()
            },
            status: None,
        };
        let made = api
            .create(&PostParams::default(), &request)
            .await
            .map_err(asking)?;
        Ok(Self {
            name: made.metadata.name.unwrap_or_default(),
            key,
        })
    }

    /// Waits until the request is signed, at most `limit`.
    ///
    /// Fails with [`IdentityError::NotSigned`] at the deadline: the request is still good then. After any other error
    /// it is not.
    pub(super) async fn signed(
        &self,
        api: &Api<CertificateSigningRequest>,
        limit: Duration,
    ) -> Result<Certified, IdentityError> {
        let deadline = Instant::now() + limit;
        let (mut pause, longest) = LOOK;
        loop {
            // An API server that is away for a moment does not end the wait.
            match api.get(&self.name).await {
                Ok(request) => {
                    if let Some(certified) = self.outcome(&request)? {
                        return Ok(certified);
                    }
                }
                Err(error) if Instant::now() + pause >= deadline || is_final(&error) => {
                    return Err(asking(error));
                }
                Err(error) => tracing::debug!(%error, "the certificate request cannot be read now"),
            }
            if Instant::now() + pause >= deadline {
                return Err(IdentityError::NotSigned {
                    name: self.name.clone(),
                    waited: limit,
                });
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    fn outcome(&self, request: &CertificateSigningRequest) -> Result<Option<Certified>, IdentityError> {
        let Some(status) = &request.status else {
            return Ok(None);
        };
        let refused = |condition: &&CertificateSigningRequestCondition| {
            matches!(&*condition.type_, "Denied" | "Failed")
        };
        if let Some(condition) = status.conditions.iter().flatten().find(refused) {
            let message = condition.message.clone().unwrap_or_default();
            return Err(IdentityError::Refused {
                name: self.name.clone(),
                message,
            });
        }
        let Some(chain) = &status.certificate else {
            return Ok(None);
        };
        let chain = certificates(&chain.0, "the signed certificate request")?;
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        Ok(Some((chain, key)))
    }
}

/// The request in PEM.
fn encoded(node: &str, key: &KeyPair) -> Result<String, IdentityError> {
    let mut params = CertificateParams::new(vec![dns_name(node)]).map_err(IdentityError::Request)?;
    // The node is in the DNS name alone: a common name has room for 64 bytes only.
    params.distinguished_name = DistinguishedName::new();
    params
        .serialize_request(key)
        .and_then(|request| request.pem())
        .map_err(IdentityError::Request)
}

fn asking(error: kube::Error) -> IdentityError {
    IdentityError::Kube {
        what: "the certificate request",
        source: Box::new(error),
    }
}

/// True if asking again cannot help: the request is gone, or we may not read it.
fn is_final(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404))
}
