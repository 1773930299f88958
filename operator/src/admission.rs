//! Asking the API server to take the target pod: in earnest, or only whether it would.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;

use crate::FIELD_MANAGER;

/// Whether the pod is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is.
    Create,
    /// It is not; admission, quotas and limit ranges judge it all the same ("dry-run" in the documentation of the API).
    Ask,
}

/// Has the pod judged, and made if that is wanted. Gives the API server's words if it refuses the pod for good.
pub async fn create(pods: &Api<Pod>, pod: &Pod, mode: Mode) -> Result<Option<String>, kube::Error> {
    let params = PostParams {
        dry_run: mode == Mode::Ask,
        field_manager: Some(FIELD_MANAGER.to_owned()),
    };
    match pods.create(&params, pod).await {
        Ok(_) => Ok(None),
        // A webhook with side effects is not asked: what it thinks is known when the pod is created.
        Err(kube::Error::Api(status)) if mode == Mode::Ask && status.message.contains(NO_DRY_RUN) => Ok(None),
        // Forbidden: admission and quotas. Invalid: something that this version of the API server does not take.
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 422 | 400) => Ok(Some(status.message)),
        // Made by an earlier reconcile, or in the way: the next look at it tells.
        Err(kube::Error::Api(status)) if status.code == 409 && status.reason == "AlreadyExists" => Ok(None),
        Err(error) => Err(error),
    }
}

/// In the API server's message where a webhook does not declare `sideEffects: None`
/// (apiserver/pkg/admission/plugin/webhook/errors/statuserror.go, `NewDryRunUnsupportedErr`).
pub const NO_DRY_RUN: &str = "does not support dry run";
