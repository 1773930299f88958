//! etcd, the API server, the controller manager and the scheduler, as services of one supervisor.

use std::path::Path;

use anyhow::Result;

use crate::init::{InitSpec, Service};
use crate::paths;

use super::pki::{self, Authority};
use super::{kubeconfig, plan};

const ETCD: &str = "http://127.0.0.1:2379";

/// Write all that the control plane reads, and say what it runs. `tree` is the node tree (it has etcd), `kubernetes`
/// the folder of the components.
pub fn prepare(authority: &Authority, tree: &Path, kubernetes: &Path) -> Result<InitSpec> {
    let dir = paths::state_dir().join("control-plane");
    std::fs::create_dir_all(&dir)?;
    let (ca, ca_key) = pki::write_pair(&dir, "ca", &authority.pair)?;
    let (serving, serving_key) = pki::write_pair(&dir, "kube-apiserver", &authority.api_server()?)?;
    let to_kubelets = authority.client("kube-apiserver-kubelet-client", Some("system:masters"))?;
    let (kubelet, kubelet_key) = pki::write_pair(&dir, "kubelet-client", &to_kubelets)?;
    let accounts = dir.join("service-accounts.key");
    let accounts_public = dir.join("service-accounts.pub");
    let (public, private) = pki::bare_key()?;
    pki::write_secret(&accounts, &private)?;
    std::fs::write(&accounts_public, public)?;
    let config_for = |user: &str| -> Result<_> {
        let path = dir.join(format!("{}.kubeconfig", user.trim_start_matches("system:")));
        pki::write_secret(
            &path,
            &kubeconfig::text(user, &authority.client(user, None)?, &authority.pair.certificate),
        )?;
        Ok(path)
    };
    let manager = config_for("system:kube-controller-manager")?;
    let scheduler = config_for("system:kube-scheduler")?;
    let (manager, scheduler) = (manager.display(), scheduler.display());
    let (ca, ca_key, accounts) = (ca.display(), ca_key.display(), accounts.display());
    let service = |name: &str, program: &Path, arguments: Vec<String>| Service {
        name: name.to_owned(),
        command: std::iter::once(program.display().to_string())
            .chain(arguments)
            .collect(),
    };
    let issuer = "https://kubernetes.default.svc.cluster.local";
    let services = vec![
        service(
            "etcd",
            &tree.join("usr/bin/etcd"),
            vec![
                format!("--data-dir={}", dir.join("etcd").display()),
                format!("--listen-client-urls={ETCD}"),
                format!("--advertise-client-urls={ETCD}"),
                "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
                // Its data ends with the cluster anyway.
                "--unsafe-no-fsync".to_owned(),
            ],
        ),
        service(
            "kube-apiserver",
            &kubernetes.join("kube-apiserver"),
            vec![
                format!("--etcd-servers={ETCD}"),
                format!("--advertise-address={}", plan::CONTROL_PLANE),
                format!("--secure-port={}", plan::API_PORT),
                format!("--service-cluster-ip-range={}", plan::SERVICE_RANGE),
                format!("--client-ca-file={ca}"),
                format!("--tls-cert-file={}", serving.display()),
                format!("--tls-private-key-file={}", serving_key.display()),
                format!("--kubelet-certificate-authority={ca}"),
                format!("--kubelet-client-certificate={}", kubelet.display()),
                format!("--kubelet-client-key={}", kubelet_key.display()),
                // There is no name server: a node's name means nothing here.
                "--kubelet-preferred-address-types=InternalIP".to_owned(),
                format!("--service-account-issuer={issuer}"),
                format!("--service-account-key-file={}", accounts_public.display()),
                format!("--service-account-signing-key-file={accounts}"),
                "--authorization-mode=Node,RBAC".to_owned(),
                "--enable-admission-plugins=NodeRestriction".to_owned(),
                // No kube-proxy runs beside the API server: it calls webhooks by their pods' addresses.
                "--enable-aggregator-routing=true".to_owned(),
                "--allow-privileged=true".to_owned(),
            ],
        ),
        service(
            "kube-controller-manager",
            &kubernetes.join("kube-controller-manager"),
            vec![
                format!("--kubeconfig={manager}"),
                format!("--root-ca-file={ca}"),
                format!("--cluster-signing-cert-file={ca}"),
                format!("--cluster-signing-key-file={ca_key}"),
                format!("--service-account-private-key-file={accounts}"),
                "--use-service-account-credentials=true".to_owned(),
                format!("--cluster-cidr={}", plan::POD_RANGE),
                // Each node's range is in its CNI configuration already.
                "--allocate-node-cidrs=false".to_owned(),
                "--leader-elect=false".to_owned(),
            ],
        ),
        service(
            "kube-scheduler",
            &kubernetes.join("kube-scheduler"),
            vec![
                format!("--kubeconfig={scheduler}"),
                "--leader-elect=false".to_owned(),
            ],
        ),
    ];
    Ok(InitSpec {
        name: "control-plane".to_owned(),
        log_dir: paths::log_dir(),
        root: None,
        services,
        gate: None,
        after_gate: Vec::new(),
        images: Vec::new(),
    })
}
