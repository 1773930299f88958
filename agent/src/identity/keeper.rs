//! Getting the certificate and keeping it fresh.

use std::future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use kube::runtime::watcher::watch_object;
use kube::runtime::{WatchStreamExt, watcher};
use rustls_pki_types::CertificateDer;
use tokio::time::sleep;

use super::lifetime::until_renewal;
use super::request::{Certified, Request};
use super::{Identity, IdentityError, bundle};

/// Config map with the CA bundle, in the namespace of the release.
pub const CA_CONFIG_MAP: &str = "godwit-ca";
/// Its key.
pub const CA_KEY: &str = "ca.crt";

/// Pause after a renewal that failed, and the least between two renewals.
const RENEW_AGAIN: Duration = Duration::from_secs(30);
/// How long a renewal waits for the signature before it is noted as failed.
const RENEW_LIMIT: Duration = Duration::from_mins(2);

/// Keeps an [`Identity`] fresh.
pub struct IdentityKeeper {
    requests: Api<CertificateSigningRequest>,
    bundles: Api<ConfigMap>,
    identity: Arc<Identity>,
    certificate: CertificateDer<'static>,
}

impl IdentityKeeper {
    /// Waits, at most `limit`, for the CA bundle in `namespace` and for a certificate of `node`.
    ///
    /// Needs the rights to create and get certificate requests, and to get, list and watch that one config map. Fails
    /// with what was missing last.
    pub async fn start(
        client: kube::Client,
        node: &str,
        namespace: &str,
        limit: Duration,
    ) -> Result<Self, IdentityError> {
        let requests: Api<CertificateSigningRequest> = Api::all(client.clone());
        let bundles: Api<ConfigMap> = Api::namespaced(client, namespace);
        let certified = async {
            Request::submit(&requests, node)
                .await?
                .signed(&requests, limit)
                .await
        };
        let (trust, (chain, key)) = tokio::try_join!(bundle::first(&bundles, limit), certified)?;
        let certificate = chain
            .first()
            .cloned()
            .ok_or(IdentityError::NoCertificate("the signed request"))?;
        let identity = Arc::new(Identity::new(node, chain, key, trust)?);
        Ok(Self {
            requests,
            bundles,
            identity,
            certificate,
        })
    }

    /// The identity that is kept fresh.
    pub fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity)
    }

    /// Renews the certificate and follows the bundle until dropped. Failures are logged and tried again: the old
    /// certificate has a third of its life left when the first renewal starts.
    pub async fn run(self) {
        let (requests, identity) = (self.requests, Arc::clone(&self.identity));
        tokio::join!(
            renew(&requests, &identity, self.certificate),
            follow(self.bundles, &self.identity)
        );
    }
}

async fn renew(
    requests: &Api<CertificateSigningRequest>,
    identity: &Identity,
    mut certificate: CertificateDer<'static>,
) {
    let mut pending = None;
    loop {
        let due = until_renewal(&certificate, Timestamp::now().as_second());
        // A signer that gives certificates of a minute must not make us ask without end.
        sleep(due.max(RENEW_AGAIN)).await;
        match again(requests, identity.node(), &mut pending).await {
            Ok((chain, key)) => {
                let own = chain.first().cloned();
                match (own, identity.replace_certificate(chain, key)) {
                    (Some(own), Ok(())) => {
                        tracing::info!("the certificate of this agent was renewed");
                        certificate = own;
                    }
                    (_, Err(error)) => tracing::error!(reason = error.reason(), "renewed in vain: {error}"),
                    (None, Ok(())) => {}
                }
            }
            Err(error) => tracing::warn!(
                reason = error.reason(),
                "the certificate was not renewed: {error}"
            ),
        }
    }
}

/// A new certificate; a request that was not signed in time is waited for again the next time.
async fn again(
    requests: &Api<CertificateSigningRequest>,
    node: &str,
    pending: &mut Option<Request>,
) -> Result<Certified, IdentityError> {
    let request = match pending.take() {
        Some(request) => request,
        None => Request::submit(requests, node).await?,
    };
    let signed = request.signed(requests, RENEW_LIMIT).await;
    if matches!(signed, Err(IdentityError::NotSigned { .. })) {
        *pending = Some(request);
    }
    signed
}

async fn follow(bundles: Api<ConfigMap>, identity: &Identity) {
    let mut seen = pin!(watch_object(bundles, CA_CONFIG_MAP).backoff(watcher::DefaultBackoff::default()));
    while let Some(change) = seen.next().await {
        match change {
            Ok(Some(bundle)) => {
                let trusted = bundle::trust_of(&bundle).and_then(|trust| identity.replace_trust(trust));
                match trusted {
                    Ok(()) => tracing::debug!("the CA bundle was loaded"),
                    Err(error) => {
                        tracing::error!(reason = error.reason(), "the new CA bundle is not used: {error}");
                    }
                }
            }
            // Deleted, or not listed for a moment: what was trusted stays.
            Ok(None) => tracing::warn!("the config map {CA_CONFIG_MAP} is gone; the last bundle is used on"),
            Err(error) => tracing::debug!(%error, "the CA bundle cannot be watched now"),
        }
    }
    // The watch has no end; if it had one, the renewal must go on.
    future::pending::<()>().await;
}
