//! `/healthz`, `/readyz` and `/metrics` over plain HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::definition::Definition;
use crate::metrics::Metrics;

/// What the endpoints show.
#[derive(Clone, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
    /// Whether the cluster can store what this release says; not ready until then.
    pub definition: Definition,
    /// The metrics that are served.
    pub metrics: Metrics,
}

/// Why the endpoints cannot be served.
#[derive(Debug, Error)]
pub enum HealthError {
    /// The address is taken or not ours.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The listener broke.
    #[error("serving health endpoints ended")]
    Serve(#[source] std::io::Error),
}

impl Health {
    /// From now on `/readyz` says so: the API server has answered, and this replica leads or stands by.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Serves until told to end.
    pub async fn serve(self, listen: SocketAddr, end: CancellationToken) -> Result<(), HealthError> {
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| HealthError::Listen(listen, error))?;
        let app = Router::new()
            .route("/healthz", get(|| async { "ok" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self);
        axum::serve(listener, app)
            .with_graceful_shutdown(end.cancelled_owned())
            .await
            .map_err(HealthError::Serve)
    }
}

async fn readyz(State(health): State<Health>) -> (StatusCode, String) {
    let not_yet = |why: String| (StatusCode::SERVICE_UNAVAILABLE, why);
    if !health.ready.load(Ordering::Relaxed) {
        return not_yet("the API server has not answered yet".to_owned());
    }
    match health.definition.current() {
        Ok(()) => (StatusCode::OK, "ok".to_owned()),
        Err(error) => not_yet(format!("{}: {error}", error.reason())),
    }
}

async fn metrics(State(health): State<Health>) -> Response {
    match health.metrics.text() {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
