//! Which certificate requests are an agent's own. No client: everything is in the request.

use std::time::Duration;

use godwit_crds::NODE_DNS_SUFFIX;
use k8s_openapi::api::certificates::v1::CertificateSigningRequestSpec;
use rcgen::{CertificateSigningRequestParams, DnType, DnValue, IsCa, PublicKeyData, SanType};
use thiserror::Error;

/// Where the API server puts the node of a service account token that is bound to a pod.
const NODE_EXTRA: &str = "authentication.kubernetes.io/node-name";
/// Lifetime of a certificate; agents renew at two thirds of it.
const LIFETIME: Duration = Duration::from_hours(24);
/// Shortest lifetime that may be asked for; the API server's own lower bound.
const SHORTEST: Duration = Duration::from_mins(10);
/// A request for one P-256 key is below 500 bytes.
const LONGEST_REQUEST: usize = 8 * 1024;

/// Why a request is denied.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Denial {
    /// Not the agents' service account.
    #[error("requested by {0}, but only {1} may ask this signer")]
    Requester(String, String),
    /// A token that is not bound to a pod on a node.
    #[error("the requester's token names no node: only tokens that are bound to an agent's pod do")]
    NoNode,
    /// Not a certificate request, or the signature is not by its key.
    #[error("not a certificate request: {0}")]
    Malformed(String),
    /// A name other than that of the requester's node.
    #[error("the request must name {0} and nothing else")]
    Name(String),
    /// Not what agents need certificates for.
    #[error("usages must be digital signature, client auth and server auth")]
    Usages,
    /// A key that is too weak or too strange.
    #[error("the key must be ECDSA on P-256 or P-384, or Ed25519")]
    Key,
}

impl Denial {
    /// Stable.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Requester(..) => "RequesterNotAgent",
            Self::NoNode => "RequesterWithoutNode",
            Self::Malformed(_) => "RequestMalformed",
            Self::Name(_) => "NameNotOfNode",
            Self::Usages => "UsagesNotAllowed",
            Self::Key => "KeyNotAllowed",
        }
    }
}

/// A request that has been found to be an agent's own.
pub struct Request {
    node: String,
    lifetime: Duration,
    params: CertificateSigningRequestParams,
}

impl Request {
    /// Checks a request. Gives the first thing that is wrong with it.
    pub fn check(spec: &CertificateSigningRequestSpec, requester: &str) -> Result<Self, Denial> {
        let username = spec.username.as_deref().unwrap_or_default();
        if username != requester {
            return Err(Denial::Requester(username.to_owned(), requester.to_owned()));
        }
        let node = match spec
            .extra
            .as_ref()
            .and_then(|extra| extra.get(NODE_EXTRA))
            .map(Vec::as_slice)
        {
            Some([node]) if !node.is_empty() => node.clone(),
            _ => return Err(Denial::NoNode),
        };
        let mut usages: Vec<&str> = spec.usages.iter().flatten().map(String::as_str).collect();
        usages.sort_unstable();
        if usages != ["client auth", "digital signature", "server auth"] {
            return Err(Denial::Usages);
        }
        let pem = std::str::from_utf8(&spec.request.0)
            .ok()
            .filter(|pem| pem.len() <= LONGEST_REQUEST);
        let pem = pem.ok_or_else(|| Denial::Malformed("too long or not PEM".to_owned()))?;
        let params = CertificateSigningRequestParams::from_pem(pem)
            .map_err(|error| Denial::Malformed(error.to_string()))?;
        check_names(&params, &node)?;
        let algorithm = params.public_key.algorithm();
        if ![
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ED25519,
        ]
        .contains(&algorithm)
        {
            return Err(Denial::Key);
        }
        let asked = spec
            .expiration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map(Duration::from_secs);
        let lifetime = asked.unwrap_or(LIFETIME).clamp(SHORTEST, LIFETIME);
        Ok(Self {
            node,
            lifetime,
            params,
        })
    }

    /// Name of the node.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The one name in the certificate.
    pub fn dns_name(&self) -> String {
        dns_name(&self.node)
    }

    /// How long the certificate is to be valid.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// The key to be certified.
    pub fn key(&self) -> &impl PublicKeyData {
        &self.params.public_key
    }
}

fn dns_name(node: &str) -> String {
    format!("{node}{NODE_DNS_SUFFIX}")
}

fn check_names(params: &CertificateSigningRequestParams, node: &str) -> Result<(), Denial> {
    let wanted = dns_name(node);
    let asked = &params.params;
    let is_san =
        matches!(asked.subject_alt_names.as_slice(), [SanType::DnsName(name)] if name.as_str() == wanted);
    // The common name is for people, and a long node name does not fit into it.
    let subject: Vec<_> = asked.distinguished_name.iter().collect();
    let is_subject = match subject.as_slice() {
        [] => true,
        [(DnType::CommonName, value)] => text(value).is_some_and(|text| text == wanted || text == node),
        _ => false,
    };
    let is_leaf = matches!(asked.is_ca, IsCa::NoCa | IsCa::ExplicitNoCa);
    if is_san && is_subject && is_leaf {
        Ok(())
    } else {
        Err(Denial::Name(wanted))
    }
}

fn text(value: &DnValue) -> Option<&str> {
    match value {
        DnValue::Utf8String(text) => Some(text),
        DnValue::PrintableString(text) => Some(text.as_str()),
        _ => None,
    }
}
