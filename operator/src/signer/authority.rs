//! The agents' certificate authority: made once, kept in a Secret, its certificate published in a `ConfigMap`.
//!
//! To replace it, delete the Secret and restart the operator and then the agents; agents of the two authorities do not
//! talk to each other in between, and migrations under way roll back.

use std::collections::BTreeMap;

use godwit_crds::AUTHORITY_NAME;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256,
};
use serde_json::json;
use thiserror::Error;

use super::Request;
use crate::FIELD_MANAGER;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const YEARS: u64 = 20;
/// Clocks of nodes differ.
const SKEW: std::time::Duration = std::time::Duration::from_mins(5);

/// Why there is no authority or no certificate.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// A key or certificate could not be made or read.
    #[error("certificate authority")]
    Certificate(#[from] rcgen::Error),
    /// The Secret or the `ConfigMap` could not be read or written.
    #[error("cannot read or write {AUTHORITY_NAME}")]
    Store(#[source] kube::Error),
    /// The Secret is there, but is not ours.
    #[error("Secret {AUTHORITY_NAME} has no {0}; delete it, and the operator makes a new authority")]
    Incomplete(&'static str),
}

/// Signs the agents' certificates.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority. Gives its key as PEM besides.
    pub fn generate(now: Timestamp) -> Result<(Self, String), AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name = common_name("godwit agents");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(
                godwit_crds::NODE_DNS_SUFFIX.trim_start_matches('.').to_owned(),
            )],
            excluded_subtrees: Vec::new(),
        });
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + since_epoch(now).saturating_sub(SKEW);
        params.not_after = epoch + since_epoch(now) + std::time::Duration::from_secs(YEARS * 365 * 24 * 3600);
        let pem = params.self_signed(&key)?.pem();
        let key_pem = key.serialize_pem();
        Ok((Self::load(pem, &key_pem)?, key_pem))
    }

    /// An authority from its certificate and key, both PEM.
    pub fn load(pem: String, key: &str) -> Result<Self, AuthorityError> {
        let issuer = Issuer::from_ca_cert_pem(&pem, KeyPair::from_pem(key)?)?;
        Ok(Self { pem, issuer })
    }

    /// The authority's own certificate, which agents trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificate for a request that has been checked. Nothing but the key is taken from the request itself.
    pub fn sign(&self, request: &Request, now: Timestamp) -> Result<String, AuthorityError> {
        let name = request.dns_name();
        let mut params = CertificateParams::new(vec![name.clone()])?;
        // X.520 ends a common name at 64 characters. The name that counts is the alternative one.
        params.distinguished_name = if name.len() <= 64 {
            common_name(&name)
        } else {
            DistinguishedName::new()
        };
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + since_epoch(now).saturating_sub(SKEW);
        params.not_after = epoch + since_epoch(now) + request.lifetime();
        Ok(params.signed_by(request.key(), &self.issuer)?.pem())
    }
}

/// The authority in the cluster; made if it is not there. Its certificate is published either way.
pub async fn ensure(client: &Client, namespace: &str) -> Result<Authority, AuthorityError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let authority = match secrets
        .get_opt(AUTHORITY_NAME)
        .await
        .map_err(AuthorityError::Store)?
    {
        Some(secret) => from_secret(&secret)?,
        None => create(&secrets).await?,
    };
    let bundle = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": AUTHORITY_NAME, "labels": { "app.kubernetes.io/managed-by": FIELD_MANAGER } },
        "data": { "ca.crt": authority.pem() },
    });
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    maps.patch(
        AUTHORITY_NAME,
        &PatchParams::apply(FIELD_MANAGER).force(),
        &Patch::Apply(&bundle),
    )
    .await
    .map_err(AuthorityError::Store)?;
    Ok(authority)
}

async fn create(secrets: &Api<Secret>) -> Result<Authority, AuthorityError> {
    let (authority, key) = Authority::generate(Timestamp::now())?;
    let data = BTreeMap::from([
        (
            CERTIFICATE.to_owned(),
            ByteString(authority.pem().as_bytes().to_vec()),
        ),
        (KEY.to_owned(), ByteString(key.into_bytes())),
    ]);
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(AUTHORITY_NAME.to_owned()),
            labels: Some(BTreeMap::from([(
                "app.kubernetes.io/managed-by".to_owned(),
                FIELD_MANAGER.to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(data),
        ..Secret::default()
    };
    match secrets.create(&PostParams::default(), &secret).await {
        Ok(_) => Ok(authority),
        // Another replica was faster; its authority counts.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            from_secret(&secrets.get(AUTHORITY_NAME).await.map_err(AuthorityError::Store)?)
        }
        Err(error) => Err(AuthorityError::Store(error)),
    }
}

fn from_secret(secret: &Secret) -> Result<Authority, AuthorityError> {
    let entry = |key: &'static str| {
        let bytes = secret
            .data
            .as_ref()
            .and_then(|data| data.get(key))
            .ok_or(AuthorityError::Incomplete(key))?;
        String::from_utf8(bytes.0.clone()).map_err(|_| AuthorityError::Incomplete(key))
    };
    Authority::load(entry(CERTIFICATE)?, &entry(KEY)?)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn since_epoch(now: Timestamp) -> std::time::Duration {
    std::time::Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default())
}
