//! TLS as two agents use it: version 1.3, both sides prove who they are, nothing is resumed.

use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::IdentityError;

/// Whom to trust.
#[derive(Clone, Debug)]
pub struct Trust(Arc<RootCertStore>);

impl Trust {
    /// Trusts every certificate of a PEM bundle. Fails if there is none, or if one of them is not a certificate.
    pub fn from_pem(pem: &[u8]) -> Result<Self, IdentityError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem, "the CA bundle")? {
            roots.add(certificate).map_err(IdentityError::Tls)?;
        }
        Ok(Self(Arc::new(roots)))
    }
}

/// The certificates of a PEM text, at least one. `what` names the text.
pub(super) fn certificates(
    pem: &[u8],
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or(IdentityError::NoCertificate(what))
}

/// Ready for use; made anew when a part changes.
#[derive(Debug)]
pub(super) struct Configs {
    pub(super) client: Arc<ClientConfig>,
    pub(super) server: Arc<ServerConfig>,
}

/// Says what is spoken inside; a client that wants something else is turned away in the handshake.
const PROTOCOL: &[u8] = b"godwit/1";
/// Longest TLS record, in bytes. With TLS's 16 KiB of content a record is just over 16 KiB, for which the allocator goes
/// round in eight times as much memory: more than stays in a core's cache. Sealing took 520 to 610 ms of CPU for each GiB,
/// with these records 290 to 370 (`agent/transfer/examples/costs.rs`).
const RECORD: usize = 16_000;

impl Configs {
    pub(super) fn new(
        chain: &[CertificateDer<'static>],
        key: &PrivateKeyDer<'static>,
        trust: &Trust,
    ) -> Result<Self, IdentityError> {
        let provider = Arc::new(provider());
        let versions = [&version::TLS13];
        // The chain up to a trusted certificate, the times, the key usage for a server and the node's name are
        // webpki's to check; that the certificate names nothing but one node is checked after the handshake.
        let servers =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(&trust.0), Arc::clone(&provider))
                .build()
                .map_err(IdentityError::Trust)?;
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(IdentityError::Tls)?
            .with_webpki_verifier(servers)
            .with_client_auth_cert(chain.to_vec(), key.clone_key())
            .map_err(IdentityError::Tls)?;
        client.alpn_protocols = vec![PROTOCOL.to_vec()];
        // A resumed session would outlive a change of trust.
        client.resumption = Resumption::disabled();
        client.max_fragment_size = Some(RECORD);

        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&trust.0), Arc::clone(&provider))
                .build()
                .map_err(IdentityError::Trust)?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(IdentityError::Tls)?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain.to_vec(), key.clone_key())
            .map_err(IdentityError::Tls)?;
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.max_fragment_size = Some(RECORD);
        Ok(Self {
            client: Arc::new(client),
            server: Arc::new(server),
        })
    }
}

/// ring, with the cheapest cipher first: AES-128-GCM has fewer rounds than AES-256-GCM, and what it protects is short-lived.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
            ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
            ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        ..ring::default_provider()
    }
}
