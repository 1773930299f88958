//! One replica works, the others stand by: a lease decides.

use std::future::Future;

use kube::Client;
use kube_lease_manager::{LeaseCreateMode, LeaseManagerBuilder, LeaseManagerError};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::FIELD_MANAGER;

/// A replica that dies is replaced after this long.
const LEASE_SECONDS: u64 = 15;
/// The lease is renewed this long before it runs out.
const RENEWAL_SECONDS: u64 = 7;

/// How long work that is under way may take when it is told to end; below the grace of the operator's pod.
const LAST_WORK: std::time::Duration = std::time::Duration::from_secs(10);

/// Why there can be no leader.
#[derive(Debug, Error)]
pub enum LeaderError {
    /// The lease can be neither read nor made.
    #[error("cannot take part in the election: lease {0}/{FIELD_MANAGER}")]
    Lease(String, #[source] LeaseManagerError),
    /// The election's own task ended.
    #[error("the election ended unexpectedly")]
    Ended,
}

/// Runs `work` whenever this replica leads, until told to end; `work` is told to end when the lease is lost. The lease
/// is given back at the end, so that another replica goes on at once. Calls `joined` when the election is under way.
pub async fn lead<W, F>(
    client: Client,
    namespace: &str,
    identity: &str,
    end: CancellationToken,
    joined: impl FnOnce(),
    work: W,
) -> Result<(), LeaderError>
where
    W: Fn(CancellationToken) -> F,
    F: Future<Output = ()>,
{
    let manager = LeaseManagerBuilder::new(client, FIELD_MANAGER)
        .with_namespace(namespace)
        .with_identity(identity)
        .with_duration(LEASE_SECONDS)
        .with_grace(RENEWAL_SECONDS)
        .with_create_mode(LeaseCreateMode::AutoCreate)
        .build()
        .await
        .map_err(|error| LeaderError::Lease(namespace.to_owned(), error))?;
    joined();
    let (mut leads, election) = manager.watch().await;
    let outcome = loop {
        let elected = tokio::select! {
            // Told to end while leading: the lease is still held, but there is nothing more to be done with it.
            biased;
            () = end.cancelled() => break Ok(()),
            elected = leads.wait_for(|leads| *leads) => elected.is_ok(),
        };
        if !elected {
            break Err(LeaderError::Ended);
        }
        tracing::info!("this replica leads");
        let stop = end.child_token();
        let mut watched = leads.clone();
        let until_told = async {
            tokio::select! {
                () = end.cancelled() => {}
                _ = watched.wait_for(|leads| !*leads) => {}
            }
            stop.cancel();
            tokio::time::sleep(LAST_WORK).await;
        };
        tokio::select! {
            () = work(stop.clone()) => {}
            () = until_told => tracing::warn!("what was under way did not end in time; the next leader takes it up"),
        }
        tracing::info!("this replica leads no more");
    };
    drop(leads);
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), election).await;
    outcome
}
