//! Certificates are signed for the agent of the node that the token names, and for nobody else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which may")]

use std::collections::BTreeMap;

use godwit_operator::signer::{Authority, Request};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::CertificateSigningRequestSpec;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SignatureAlgorithm};
use x509_parser::prelude::{FromDer, X509Certificate};

const AGENT: &str = "system:serviceaccount:godwit-system:godwit-agent";
const NAME: &str = "n1.node.godwit.dev";

fn csr(names: &[&str], common: Option<&str>, algorithm: &'static SignatureAlgorithm) -> String {
    let mut params =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    if let Some(common) = common {
        params.distinguished_name.push(DnType::CommonName, common);
    }
    params
        .serialize_request(&KeyPair::generate_for(algorithm).unwrap())
        .unwrap()
        .pem()
        .unwrap()
}

fn spec(request: String) -> CertificateSigningRequestSpec {
    CertificateSigningRequestSpec {
        signer_name: "godwit.dev/agent".to_owned(),
        username: Some(AGENT.to_owned()),
        extra: Some(BTreeMap::from([(
            "authentication.kubernetes.io/node-name".to_owned(),
            vec!["n1".to_owned()],
        )])),
        usages: Some(
            ["digital signature", "client auth", "server auth"]
                .map(str::to_owned)
                .to_vec(),
        ),
        request: ByteString(request.into_bytes()),
        ..CertificateSigningRequestSpec::default()
    }
}

fn plain() -> CertificateSigningRequestSpec {
    spec(csr(&[NAME], Some(NAME), &rcgen::PKCS_ECDSA_P256_SHA256))
}

fn reason(spec: &CertificateSigningRequestSpec) -> Option<&'static str> {
    Request::check(spec, AGENT).err().map(|denial| denial.reason())
}

#[test]
fn an_agents_own_request_is_taken() {
    for common in [None, Some(NAME), Some("n1")] {
        assert_eq!(
            reason(&spec(csr(&[NAME], common, &rcgen::PKCS_ECDSA_P256_SHA256))),
            None,
            "{common:?}"
        );
    }
    assert_eq!(reason(&spec(csr(&[NAME], None, &rcgen::PKCS_ED25519))), None);
}

#[test]
fn a_name_of_another_node_is_denied() {
    let p256 = &rcgen::PKCS_ECDSA_P256_SHA256;
    let wrong: [(&[&str], Option<&str>); 6] = [
        (&["n2.node.godwit.dev"], None),
        (&[NAME, "n2.node.godwit.dev"], None),
        (&[], Some(NAME)),
        (&["*.node.godwit.dev"], None),
        (&[NAME], Some("n2.node.godwit.dev")),
        (&["10.0.0.1"], None),
    ];
    for (names, common) in wrong {
        assert_eq!(
            reason(&spec(csr(names, common, p256))),
            Some("NameNotOfNode"),
            "{names:?} {common:?}"
        );
    }
}

#[test]
fn somebody_else_is_denied() {
    for username in [
        None,
        Some("admin"),
        Some("system:serviceaccount:other:godwit-agent"),
    ] {
        let spec = CertificateSigningRequestSpec {
            username: username.map(str::to_owned),
            ..plain()
        };
        assert_eq!(reason(&spec), Some("RequesterNotAgent"));
    }
    let unbound = CertificateSigningRequestSpec {
        extra: None,
        ..plain()
    };
    assert_eq!(reason(&unbound), Some("RequesterWithoutNode"));
    let two = BTreeMap::from([(
        "authentication.kubernetes.io/node-name".to_owned(),
        vec!["n1".to_owned(), "n2".to_owned()],
    )]);
    assert_eq!(
        reason(&CertificateSigningRequestSpec {
            extra: Some(two),
            ..plain()
        }),
        Some("RequesterWithoutNode")
    );
}

#[test]
fn usages_and_garbage_are_denied() {
    for usages in [
        &["client auth"][..],
        &["digital signature", "client auth", "server auth", "cert sign"],
        &[],
    ] {
        let usages = Some(usages.iter().map(|usage| (*usage).to_owned()).collect());
        assert_eq!(
            reason(&CertificateSigningRequestSpec { usages, ..plain() }),
            Some("UsagesNotAllowed")
        );
    }
    let pem = csr(&[NAME], None, &rcgen::PKCS_ECDSA_P256_SHA256);
    let long = format!("{pem}{}", "x".repeat(10_000));
    for garbage in [
        String::new(),
        "hello".to_owned(),
        pem.replace("CERTIFICATE REQUEST", "CERTIFICATE")[..80].to_owned(),
        long,
    ] {
        assert_eq!(reason(&spec(garbage)), Some("RequestMalformed"));
    }
    assert_eq!(
        reason(&CertificateSigningRequestSpec {
            request: ByteString(vec![0xff; 40]),
            ..plain()
        }),
        Some("RequestMalformed")
    );
}

#[test]
fn the_certificate_says_who_it_is_for_how_long_and_by_whom() {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let (authority, key) = Authority::generate(now).unwrap();
    // As another replica or a later run of the operator has it.
    let authority = Authority::load(authority.pem().to_owned(), &key).unwrap();
    let pem = authority
        .sign(&Request::check(&plain(), AGENT).unwrap(), now)
        .unwrap();
    let (leaf, root) = (
        x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1,
        x509_parser::pem::parse_x509_pem(authority.pem().as_bytes())
            .unwrap()
            .1,
    );
    let leaf = X509Certificate::from_der(&leaf.contents).unwrap().1;
    let root = X509Certificate::from_der(&root.contents).unwrap().1;
    assert_eq!(leaf.issuer(), root.subject());
    assert!(root.is_ca() && !leaf.is_ca());
    let names = format!(
        "{:?}",
        leaf.subject_alternative_name()
            .unwrap()
            .unwrap()
            .value
            .general_names
    );
    assert_eq!(names, format!("[DNSName({NAME:?})]"));
    let usages = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usages.client_auth && usages.server_auth && !usages.any && usages.other.is_empty());
    assert_eq!(leaf.validity().not_after.timestamp(), 1_800_000_000 + 24 * 3600);
    assert!(leaf.validity().not_before.timestamp() < 1_800_000_000);
    assert!(root.name_constraints().unwrap().is_some());
}
