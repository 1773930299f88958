//! Nodes in certificates.

use godwit_crds::NODE_DNS_SUFFIX;
use rustls_pki_types::{CertificateDer, ServerName};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The DNS name of a node in certificates.
pub(super) fn dns_name(node: &str) -> String {
    format!("{node}{NODE_DNS_SUFFIX}")
}

/// The name that a dialled node must prove; `None` if no certificate can hold it.
pub(crate) fn server_name(node: &str) -> Option<ServerName<'static>> {
    match ServerName::try_from(dns_name(node)) {
        Ok(name @ ServerName::DnsName(_)) => Some(name),
        _ => None,
    }
}

/// The node that a certificate names: it must have exactly one name, of that form, and no wildcard.
pub(crate) fn node_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = &certificate.subject_alternative_name().ok()??.value.general_names;
    let [GeneralName::DNSName(name)] = names.as_slice() else {
        return None;
    };
    let node = name.strip_suffix(NODE_DNS_SUFFIX)?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    (!node.is_empty() && node.bytes().all(plain)).then(|| node.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Option<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        node_of(made.cert.der())
    }

    #[test]
    fn one_name_of_one_node() {
        assert_eq!(named(&["n1.node.godwit.dev"]).as_deref(), Some("n1"));
        assert_eq!(
            named(&["ip-10-0-0-1.ec2.internal.node.godwit.dev"]).as_deref(),
            Some("ip-10-0-0-1.ec2.internal")
        );
        for names in [
            &["*.node.godwit.dev"][..],
            &[".node.godwit.dev"],
            &["node.godwit.dev"],
            &["n1.node.godwit.dev.evil.org"],
            &["n1.node.godwit.dev", "n2.node.godwit.dev"],
            &["n1"],
            &["10.0.0.1"],
        ] {
            assert_eq!(named(names), None, "{names:?}");
        }
    }

    #[test]
    fn names_that_fit_no_certificate() {
        assert!(server_name("n1").is_some());
        assert!(server_name("").is_none());
        assert!(server_name(&"a".repeat(260)).is_none());
    }
}
