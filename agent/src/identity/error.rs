//! Why there is no (new) certificate.

use std::time::Duration;

use thiserror::Error;

/// Why an identity cannot be had or used.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The API server.
    #[error("the API server cannot be asked about {what}")]
    Kube {
        /// Object.
        what: &'static str,
        /// Cause.
        #[source]
        source: Box<kube::Error>,
    },
    /// The operator has not signed.
    #[error(
        "the certificate request {name} was not signed within {} s: is the operator running? see `kubectl get csr {name}`",
        .waited.as_secs()
    )]
    NotSigned {
        /// The request.
        name: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The request was refused.
    #[error("the certificate request {name} was refused: {message}")]
    Refused {
        /// The request.
        name: String,
        /// What its condition says.
        message: String,
    },
    /// Key or request cannot be made.
    #[error("a key or certificate request cannot be made for this node")]
    Request(#[source] rcgen::Error),
    /// Not a certificate, or none.
    #[error("{0} holds no certificate in PEM")]
    NoCertificate(&'static str),
    /// The certificate is for somebody else.
    #[error("the certificate names node `{named}`, this is node {node}")]
    OtherNode {
        /// This node.
        node: String,
        /// The node in the certificate, empty if there is none.
        named: String,
    },
    /// TLS cannot work with it.
    #[error("key, certificate and trusted certificates do not make a TLS identity")]
    Tls(#[source] rustls::Error),
    /// The trusted certificates cannot be used to verify clients.
    #[error("the trusted certificates cannot be used")]
    Trust(#[source] rustls::server::VerifierBuilderError),
}

impl IdentityError {
    /// Stable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Kube { .. } => "ApiServer",
            Self::NotSigned { .. } => "CertificateNotSigned",
            Self::Refused { .. } => "CertificateRefused",
            Self::Request(_) => "CertificateRequest",
            Self::NoCertificate(_) => "NoCertificate",
            Self::OtherNode { .. } => "CertificateOfOtherNode",
            Self::Tls(_) => "TlsIdentity",
            Self::Trust(_) => "TrustBundle",
        }
    }
}
