//! Whom to trust: the CA bundle in a config map.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use tokio::time::{Instant, sleep};

use super::keeper::{CA_CONFIG_MAP, CA_KEY};
use super::{IdentityError, Trust};

/// Pause between two looks for a config map that is not there yet.
const LOOK: Duration = Duration::from_millis(500);

/// The bundle of the config map.
pub(super) fn trust_of(bundle: &ConfigMap) -> Result<Trust, IdentityError> {
    let pem = bundle.data.as_ref().and_then(|data| data.get(CA_KEY));
    Trust::from_pem(pem.map_or(&[][..], |pem| pem.as_bytes()))
}

/// Waits for a usable bundle, at most `limit`: at a first installation the operator has yet to make it.
pub(super) async fn first(api: &Api<ConfigMap>, limit: Duration) -> Result<Trust, IdentityError> {
    let deadline = Instant::now() + limit;
    loop {
        let found = match api.get(CA_CONFIG_MAP).await {
            Ok(bundle) => trust_of(&bundle),
            Err(error) => Err(IdentityError::Kube {
                what: "the config map godwit-ca",
                source: Box::new(error),
            }),
        };
        match found {
            Ok(trust) => return Ok(trust),
            Err(error) if Instant::now() + LOOK >= deadline => return Err(error),
            Err(error) => tracing::debug!(%error, "no CA bundle yet"),
        }
        sleep(LOOK).await;
    }
}
