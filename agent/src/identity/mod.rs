//! Who this agent is to other agents: a short-lived certificate that names its node.
//!
//! The key never leaves this process's memory. The certificate is asked for with a `CertificateSigningRequest`, which
//! the operator signs if the token that came with it is bound to that very node; it is renewed after two thirds of its
//! lifetime. Whom to trust comes from the config map `godwit-ca` and is followed as it changes.

mod bundle;
mod error;
mod keeper;
mod lifetime;
mod material;
mod node_name;
mod request;
#[cfg(test)]
mod tests;

use std::sync::{Arc, PoisonError, RwLock};

use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

pub use error::IdentityError;
pub use keeper::{CA_CONFIG_MAP, CA_KEY, IdentityKeeper};
pub use material::Trust;
pub(crate) use node_name::{node_of, server_name};

use material::Configs;

/// Certificate, key and trust of this agent; each part may be replaced at any time, new connections use the new one.
#[derive(Debug)]
pub struct Identity {
    node: String,
    parts: RwLock<Parts>,
}

#[derive(Debug)]
struct Parts {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    trust: Trust,
    configs: Configs,
}

impl Identity {
    /// An identity of `node` from a chain (own certificate first), its PKCS#8 key and those to trust.
    ///
    /// Fails if the key does not fit the certificate, or if the certificate does not name just that node.
    pub fn new(
        node: &str,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        trust: Trust,
    ) -> Result<Self, IdentityError> {
        check_node(node, &chain)?;
        let configs = Configs::new(&chain, &key, &trust)?;
        Ok(Self {
            node: node.to_owned(),
            parts: RwLock::new(Parts {
                chain,
                key,
                trust,
                configs,
            }),
        })
    }

    /// The node that the certificate names.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Replaces certificate and key. Fails, and keeps the old ones, if they do not fit.
    pub fn replace_certificate(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), IdentityError> {
        check_node(&self.node, &chain)?;
        let mut parts = self.parts.write().unwrap_or_else(PoisonError::into_inner);
        parts.configs = Configs::new(&chain, &key, &parts.trust)?;
        parts.chain = chain;
        parts.key = key;
        Ok(())
    }

    /// Replaces those to trust. Fails, and keeps the old ones, if they cannot be used.
    pub fn replace_trust(&self, trust: Trust) -> Result<(), IdentityError> {
        let mut parts = self.parts.write().unwrap_or_else(PoisonError::into_inner);
        parts.configs = Configs::new(&parts.chain, &parts.key, &trust)?;
        parts.trust = trust;
        Ok(())
    }

    /// How to dial.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(
            &self
                .parts
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .configs
                .client,
        )
    }

    /// How to accept.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(
            &self
                .parts
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .configs
                .server,
        )
    }
}

fn check_node(node: &str, chain: &[CertificateDer<'static>]) -> Result<(), IdentityError> {
    let named = chain.first().and_then(|certificate| node_of(certificate));
    if named.as_deref() == Some(node) {
        Ok(())
    } else {
        Err(IdentityError::OtherNode {
            node: node.to_owned(),
            named: named.unwrap_or_default(),
        })
    }
}
