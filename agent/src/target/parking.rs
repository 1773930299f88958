//! Ending the parking of a target pod, so that kubelet starts its containers.

use std::{sync::Arc, time::Duration};

use godwit_container::discover::{DiscoverError, parking};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use thiserror::Error;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    failure::chain,
    kube_side::{NodePods, PodEvent},
    node::Node,
};

/// Pause before the container runtime is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// Why the parking could not be ended.
#[derive(Debug, Error)]
pub enum ParkingError {
    /// The container runtime.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// There is nothing that parks.
    #[error("no parking container of the target pod runs; was it killed?")]
    NotParking,
    /// The signal.
    #[error("the parking process {pid} cannot be told")]
    Signal {
        /// Which process.
        pid: i32,
        /// What the system said.
        source: Errno,
    },
}

impl ParkingError {
    /// Stable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Discover(error) => error.reason(),
            Self::NotParking => "NotParking",
            Self::Signal { .. } => "ParkingNotEnded",
        }
    }
}

/// Tells the parking process of that pod to end; it is asked for until `deadline`, since kubelet may be restarting it.
pub async fn end_parking(node: &Node, pod_uid: &str, deadline: Instant) -> Result<(), ParkingError> {
    loop {
        if let Some(found) = parking(&node.cri, pod_uid).await? {
            return match kill(Pid::from_raw(found.pid), Signal::SIGUSR1) {
                Ok(()) => Ok(()),
                Err(source) => Err(ParkingError::Signal {
                    pid: found.pid,
                    source,
                }),
            };
        }
        if Instant::now() + AGAIN >= deadline {
            return Err(ParkingError::NotParking);
        }
        sleep(AGAIN).await;
    }
}

/// Ends the parking of pods whose migration was completed long ago and whose sandbox was made anew, by a reboot of the
/// node for example: their containers start as any others.
pub async fn end_needless(node: Arc<Node>, pods: NodePods, ended: CancellationToken) {
    let mut events = pods.subscribe();
    loop {
        let event = tokio::select! {
            () = ended.cancelled() => return,
            event = events.recv() => event,
        };
        match event {
            Some(PodEvent::EndParking { pod_uid, .. }) => {
                tracing::info!(%pod_uid, "a completed pod parks again; its containers start cold");
                if let Err(error) = end_parking(&node, &pod_uid, Instant::now()).await {
                    tracing::warn!(%pod_uid, error = chain(&error), "the parking could not be ended yet");
                }
            }
            Some(_) => {}
            None => return,
        }
    }
}
