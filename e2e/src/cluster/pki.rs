//! The cluster's certificates: one authority, made anew for each cluster, and a pair for everybody who talks.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::plan;

/// A certificate and its key, as PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// The authority that signs all certificates of one cluster.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Itself.
    pub pair: Pair,
}

impl Authority {
    /// A new authority.
    pub fn generate() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "kubernetes-ca");
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        let pair = Pair {
            certificate,
            key: key.serialize_pem(),
        };
        Ok(Self {
            issuer: Issuer::new(params, key),
            pair,
        })
    }

    /// A certificate by which a client shows that it is `user`, a member of `group`.
    pub fn client(&self, user: &str, group: Option<&str>) -> Result<Pair> {
        let mut params = leaf(user, ExtendedKeyUsagePurpose::ClientAuth)?;
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        self.sign(&params)
    }

    /// A certificate of a server reached by these names and addresses.
    pub fn server(&self, name: &str, names: &[&str], addresses: &[Ipv4Addr]) -> Result<Pair> {
        let mut params = leaf(name, ExtendedKeyUsagePurpose::ServerAuth)?;
        for name in names {
            params
                .subject_alt_names
                .push(SanType::DnsName((*name).try_into()?));
        }
        for &address in addresses {
            params
                .subject_alt_names
                .push(SanType::IpAddress(IpAddr::V4(address)));
        }
        self.sign(&params)
    }

    /// The API server's own certificate.
    pub fn api_server(&self) -> Result<Pair> {
        let names = [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
        ];
        self.server(
            "kube-apiserver",
            &names,
            &[plan::CONTROL_PLANE, plan::API_SERVICE, Ipv4Addr::LOCALHOST],
        )
    }

    fn sign(&self, params: &CertificateParams) -> Result<Pair> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair {
            certificate,
            key: key.serialize_pem(),
        })
    }
}

/// A fresh key without a certificate, public and private: service account tokens are signed with one.
pub fn bare_key() -> Result<(String, String)> {
    let key = KeyPair::generate()?;
    Ok((key.public_key_pem(), key.serialize_pem()))
}

fn leaf(name: &str, usage: ExtendedKeyUsagePurpose) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    Ok(params)
}

/// Write a file that only root may read.
pub fn write_secret(path: &Path, content: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let _ = std::fs::remove_file(path);
    let mut file = std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content.as_bytes())?;
    Ok(())
}

/// Write `name.crt` and `name.key` in `dir` and give their paths.
pub fn write_pair(dir: &Path, name: &str, pair: &Pair) -> Result<(PathBuf, PathBuf)> {
    let (certificate, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
    std::fs::write(&certificate, &pair.certificate)?;
    write_secret(&key, &pair.key)?;
    Ok((certificate, key))
}
