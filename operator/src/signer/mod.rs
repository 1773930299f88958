//! Signs the agents' certificates: approves and signs requests for signer `godwit.dev/agent`, and denies those that an
//! agent may not make. Works only on the leader.

mod authority;
mod request;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use godwit_crds::SIGNER_NAME;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

pub use authority::{Authority, AuthorityError};
pub use request::{Denial, Request};

use crate::FIELD_MANAGER;
use crate::controller::Context;

const RETRY: Duration = Duration::from_secs(5);

/// Why a request was not answered; it is tried again.
#[derive(Debug, Error)]
pub enum SignerError {
    /// The certificate could not be made.
    #[error("cannot sign")]
    Sign(#[from] AuthorityError),
    /// The API server did not take the answer.
    #[error("cannot store the answer")]
    Store(#[source] kube::Error),
}

struct Signer {
    client: Client,
    context: Arc<Context>,
    authority: Authority,
    requester: String,
}

/// Makes sure of the authority, then signs until told to end.
pub async fn run(
    context: Arc<Context>,
    namespace: &str,
    agent_service_account: &str,
    end: CancellationToken,
) {
    let client = context.client.clone();
    let authority = loop {
        match authority::ensure(&client, namespace).await {
            Ok(authority) => break authority,
            Err(error) => {
                tracing::error!(%error, cause = std::error::Error::source(&error).map(ToString::to_string), "no authority for the agents' certificates; trying again");
            }
        }
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    };
    let signer = Arc::new(Signer {
        client: client.clone(),
        context,
        authority,
        requester: format!("system:serviceaccount:{namespace}:{agent_service_account}"),
    });
    let ours = watcher::Config::default().fields(&format!("spec.signerName={SIGNER_NAME}"));
    Controller::new(Api::<CertificateSigningRequest>::all(client), ours)
        .graceful_shutdown_on(end.cancelled_owned())
        .run(answer, |_, error, _| {
            tracing::warn!(%error, cause = std::error::Error::source(error).map(ToString::to_string), "certificate request not answered; trying again");
            Action::requeue(RETRY)
        }, signer)
        .for_each(|_| async {})
        .await;
}

async fn answer(csr: Arc<CertificateSigningRequest>, signer: Arc<Signer>) -> Result<Action, SignerError> {
    let status = csr.status.as_ref();
    let has = |kind: &str| {
        status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten())
            .any(|condition| condition.type_ == kind)
    };
    let is_answered =
        status.is_some_and(|status| status.certificate.is_some()) || has("Denied") || has("Failed");
    if csr.spec.signer_name != SIGNER_NAME || is_answered {
        return Ok(Action::await_change());
    }
    let now = Timestamp::now();
    let request = match Request::check(&csr.spec, &signer.requester) {
        Ok(request) => request,
        Err(denial) => {
            tracing::warn!(
                request = csr.name_any(),
                requester = csr.spec.username,
                reason = denial.reason(),
                "denied a certificate: {denial}"
            );
            signer.context.metrics.request("denied");
            // What somebody else has approved can no longer be denied, only failed.
            let (kind, subresource) = if has("Approved") {
                ("Failed", "status")
            } else {
                ("Denied", "approval")
            };
            signer
                .conditions(&csr, kind, denial.reason(), &denial.to_string(), subresource, now)
                .await?;
            return Ok(Action::await_change());
        }
    };
    if !has("Approved") {
        signer
            .conditions(
                &csr,
                "Approved",
                "AgentOfNode",
                "requested by the agent of the node that it names",
                "approval",
                now,
            )
            .await?;
    }
    let certificate = signer.authority.sign(&request, now)?;
    let patch = json!({ "status": { "certificate": ByteString(certificate.into_bytes()) } });
    signer.patch(&csr.name_any(), "status", &patch).await?;
    signer.context.metrics.request("signed");
    tracing::info!(node = request.node(), "signed an agent's certificate");
    Ok(Action::await_change())
}

impl Signer {
    async fn conditions(
        &self,
        csr: &CertificateSigningRequest,
        kind: &str,
        reason: &str,
        message: &str,
        subresource: &str,
        now: Timestamp,
    ) -> Result<(), SignerError> {
        let mut conditions: Vec<_> = csr
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten())
            .map(|condition| json!(condition))
            .collect();
        let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        conditions.push(json!({ "type": kind, "status": "True", "reason": reason, "message": message, "lastUpdateTime": now, "lastTransitionTime": now }));
        self.patch(
            &csr.name_any(),
            subresource,
            &json!({ "status": { "conditions": conditions } }),
        )
        .await
    }

    async fn patch(
        &self,
        name: &str,
        subresource: &str,
        patch: &serde_json::Value,
    ) -> Result<(), SignerError> {
        let requests = Api::<CertificateSigningRequest>::all(self.client.clone());
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        requests
            .patch_subresource(subresource, name, &params, &Patch::Merge(patch))
            .await
            .map(drop)
            .map_err(SignerError::Store)
    }
}
