//! Whether the definition of `PodMigration` in the cluster is that of this release.
//!
//! Helm installs the definitions of a chart and never touches them again, so after `helm upgrade` the old one may still
//! be there. Agents' reports would then be refused and migrations would hang: nothing is taken on until it has been
//! brought up to date, which is looked for again and again.

mod missing;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use godwit_crds::PodMigration;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, CustomResourceExt, ResourceExt};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

pub use missing::missing;

/// Time between two looks while the definition is not as it should be.
pub const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Time between two looks otherwise: somebody may put an older one back.
const LOOK_AFTER: Duration = Duration::from_mins(1);
/// Longest wait for one answer.
const CALL_DEADLINE: Duration = Duration::from_secs(15);
/// How many missing fields are named.
const NAMED: usize = 5;
/// What cures it. By force, because the fields of the old definition belong to helm.
const CURE: &str =
    "kubectl apply --server-side --force-conflicts -f charts/godwit/crds (of this release's chart)";

/// Why no migration is taken on.
#[derive(Clone, Debug, Error)]
pub enum DefinitionError {
    /// The first look is not over.
    #[error("the definition of PodMigration in the cluster has not been looked at yet")]
    NotSeen,
    /// There is none.
    #[error("the cluster has no definition of PodMigration; apply it: {CURE}")]
    Missing,
    /// It is of an older release.
    #[error("the definition of PodMigration in the cluster is older than this release and lacks {}; apply it: {CURE}", named(.0))]
    Outdated(Vec<String>),
    /// The API server did not give it.
    #[error("the definition of PodMigration in the cluster cannot be read")]
    Unreadable(#[source] Arc<kube::Error>),
    /// The API server did not answer.
    #[error("the API server did not give the definition of PodMigration within {} s", CALL_DEADLINE.as_secs())]
    Deadline,
}

impl DefinitionError {
    /// Stable.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotSeen => "DefinitionNotSeen",
            Self::Missing => "DefinitionMissing",
            Self::Outdated(_) => "DefinitionOutdated",
            Self::Unreadable(_) => "DefinitionUnreadable",
            Self::Deadline => "DefinitionDeadline",
        }
    }

    /// True when the API server has said what the definition is like: what was known before is no longer so.
    fn is_a_finding(&self) -> bool {
        matches!(self, Self::Missing | Self::Outdated(_))
    }
}

fn named(fields: &[String]) -> String {
    let text = fields[..fields.len().min(NAMED)].join(", ");
    match fields.len().saturating_sub(NAMED) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// What is known of the definition; clones share it.
#[derive(Clone, Debug)]
pub struct Definition(Arc<Mutex<Result<(), DefinitionError>>>);

impl Default for Definition {
    /// Not looked at yet.
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Err(DefinitionError::NotSeen))))
    }
}

impl Definition {
    /// Whether everything of this release can be stored, and why not.
    pub fn current(&self) -> Result<(), DefinitionError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes what a look has found. A look that failed changes nothing once the definition has been seen to be right.
    fn learn(&self, found: Result<(), DefinitionError>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &found {
            Ok(()) if known.is_err() => {
                tracing::info!("the definition of PodMigration is that of this release");
            }
            Err(error) if known.is_ok() && !error.is_a_finding() => return,
            Err(error) if known.as_ref().err().map(DefinitionError::reason) != Some(error.reason()) => {
                let cause = std::error::Error::source(error).map(ToString::to_string);
                tracing::error!(
                    reason = error.reason(),
                    cause = cause.unwrap_or_default(),
                    "{error}; until then no migration is taken on"
                );
            }
            _ => {}
        }
        *known = found;
    }

    /// Looks at the definition until told to end.
    pub async fn watch(self, client: Client, end: CancellationToken) {
        loop {
            self.learn(look(&client).await);
            let pause = if self.current().is_ok() {
                LOOK_AFTER
            } else {
                LOOK_AGAIN
            };
            tokio::select! {
                () = end.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

async fn look(client: &Client) -> Result<(), DefinitionError> {
    let wanted = PodMigration::crd();
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    let name = wanted.name_any();
    let found = tokio::time::timeout(CALL_DEADLINE, definitions.get_opt(&name))
        .await
        .map_err(|_| DefinitionError::Deadline)?
        .map_err(|error| DefinitionError::Unreadable(Arc::new(error)))?
        .ok_or(DefinitionError::Missing)?;
    let lacks = missing(&wanted, &found);
    if lacks.is_empty() {
        Ok(())
    } else {
        Err(DefinitionError::Outdated(lacks))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{Request, Response, StatusCode};
    use kube::client::Body;

    use super::*;

    /// An API server that gives this answer, and what is made of it.
    async fn looked(status: StatusCode, answer: serde_json::Value) -> Result<(), DefinitionError> {
        let service = tower::service_fn(move |request: Request<Body>| {
            assert_eq!(
                request.uri().path(),
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/podmigrations.godwit.dev"
            );
            let body = Body::from(answer.to_string().into_bytes());
            async move {
                let mut response = Response::new(body);
                *response.status_mut() = status;
                Ok::<_, std::convert::Infallible>(response)
            }
        });
        look(&Client::new(service, "default")).await
    }

    #[tokio::test]
    async fn what_the_api_server_has_is_told_apart() {
        let own = serde_json::to_value(PodMigration::crd()).unwrap();
        assert!(looked(StatusCode::OK, own.clone()).await.is_ok());
        let mut old = own;
        let source = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/source/properties";
        let fields = old.pointer_mut(source).unwrap().as_object_mut().unwrap();
        fields.remove("memory").unwrap();
        let error = looked(StatusCode::OK, old).await.unwrap_err();
        assert_eq!(error.reason(), "DefinitionOutdated");
        assert!(
            error.to_string().contains("lacks status.source.memory;"),
            "{error}"
        );
        for (code, reason, wanted) in [
            (StatusCode::NOT_FOUND, "NotFound", "DefinitionMissing"),
            (StatusCode::FORBIDDEN, "Forbidden", "DefinitionUnreadable"),
        ] {
            let answer = serde_json::json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure",
                "message": "no", "reason": reason, "code": code.as_u16()
            });
            assert_eq!(looked(code, answer).await.unwrap_err().reason(), wanted);
        }
    }

    fn outdated(count: usize) -> DefinitionError {
        DefinitionError::Outdated((0..count).map(|number| format!("status.f{number}")).collect())
    }

    #[test]
    fn what_is_missing_and_what_cures_it_are_told() {
        let error = outdated(7);
        assert_eq!(error.reason(), "DefinitionOutdated");
        let text = error.to_string();
        assert!(text.contains("status.f4 and 2 more"), "{text}");
        assert!(text.contains("kubectl apply --server-side"), "{text}");
        assert!(text.contains("/crds"), "{text}");
        assert!(!outdated(5).to_string().contains("more"));
    }

    #[test]
    fn nothing_is_taken_on_before_the_first_look() {
        let definition = Definition::default();
        assert_eq!(definition.current().unwrap_err().reason(), "DefinitionNotSeen");
        definition.learn(Err(DefinitionError::Deadline));
        assert_eq!(definition.current().unwrap_err().reason(), "DefinitionDeadline");
    }

    #[test]
    fn it_recovers_and_is_lost_again_but_not_by_an_api_server_that_is_away() {
        let definition = Definition::default();
        definition.learn(Err(outdated(1)));
        assert!(definition.current().is_err());
        definition.learn(Ok(()));
        assert!(definition.current().is_ok());
        definition.learn(Err(DefinitionError::Deadline));
        assert!(definition.current().is_ok());
        definition.learn(Err(DefinitionError::Missing));
        assert_eq!(definition.current().unwrap_err().reason(), "DefinitionMissing");
        // What was found stays what is said, until it is known better.
        definition.learn(Err(DefinitionError::Deadline));
        assert!(definition.current().is_err());
    }
}
