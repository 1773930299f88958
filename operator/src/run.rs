//! Puts the parts together, and takes them apart in order.

use std::sync::Arc;

use anyhow::Context as _;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::controller::{self, Context};
use crate::health::Health;
use crate::{FIELD_MANAGER, leader, node_report, signer};

/// How long the API server may take for one call; watches have deadlines of their own.
const CALL_DEADLINE: std::time::Duration = std::time::Duration::from_secs(15);

/// Runs until SIGTERM or SIGINT. Fails when the API server cannot be reached to begin with, or the lease is out of
/// reach; kubelet then starts the operator again.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let end = CancellationToken::new();
    let mut terminated = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupted = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::spawn({
        let end = end.clone();
        async move {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
            }
            tracing::info!("ending");
            end.cancel();
        }
    });

    let health = Health::default();
    let endpoints = tokio::spawn(health.clone().serve(args.listen, end.clone()));

    let mut config = Config::infer()
        .await
        .context("neither a kubeconfig nor a service account was found")?;
    config.connect_timeout = Some(CALL_DEADLINE);
    let client = Client::try_from(config).context("cannot make a client of the API server")?;
    let reporter = Reporter {
        controller: FIELD_MANAGER.to_owned(),
        instance: Some(args.identity.clone()),
    };
    tokio::spawn(health.definition.clone().watch(client.clone(), end.clone()));
    let context = Arc::new(Context {
        client: client.clone(),
        recorder: Recorder::new(client.clone(), reporter),
        metrics: health.metrics.clone(),
        definition: health.definition.clone(),
    });

    let work = |stop: CancellationToken| {
        let (context, health, args) = (context.clone(), health.clone(), &args);
        async move {
            health.metrics.leads(true);
            let signer = signer::run(
                context.clone(),
                &args.namespace,
                &args.agent_service_account,
                stop.clone(),
            );
            tokio::join!(
                controller::run(context.clone(), args.concurrency, stop.clone()),
                node_report::run(context.client.clone(), stop.clone()),
                signer
            );
            health.metrics.leads(false);
        }
    };
    let led = leader::lead(
        client,
        &args.namespace,
        &args.identity,
        end.clone(),
        || health.set_ready(true),
        work,
    )
    .await;
    health.set_ready(false);
    end.cancel();
    endpoints.await.context("the health endpoints' task")??;
    led.context("leader election")
}
