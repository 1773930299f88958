//! Runs behaviours one after the other and counts.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Behaviour, Lab, diagnostics};
use crate::Cluster;

/// How many were shown, and how many were not.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Shown.
    pub passed: u32,
    /// Not shown.
    pub failed: u32,
}

impl Tally {
    /// Count one more.
    pub fn count(&mut self, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }

    /// Count all of another.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Run these behaviours in the cluster, one line each. Godwit must be installed there.
pub fn in_cluster(cluster: &Cluster, behaviours: &[Behaviour]) -> Result<Tally> {
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    let mut tally = Tally::default();
    for (number, behaviour) in behaviours.iter().enumerate() {
        let began = Instant::now();
        let namespace = namespace(number);
        let result = runtime.block_on(one(cluster, &namespace, behaviour));
        let seconds = began.elapsed().as_secs_f64();
        tally.count(result.is_ok());
        match result {
            Ok(()) => println!("ok      {} ({seconds:.1} s)", behaviour.name),
            Err(failure) => {
                println!("FAILED  {} ({seconds:.1} s): {:#}", behaviour.name, failure.error);
                print!("{}", failure.seen);
            }
        }
    }
    Ok(tally)
}

struct Failure {
    error: anyhow::Error,
    seen: String,
}

async fn one(cluster: &Cluster, namespace: &str, behaviour: &Behaviour) -> Result<(), Failure> {
    let blind = |error| Failure {
        error,
        seen: String::new(),
    };
    let lab = Lab::open(cluster.clone(), namespace).await.map_err(blind)?;
    let result = tokio::time::timeout(behaviour.within, (behaviour.run)(&lab)).await;
    let result =
        result.unwrap_or_else(|_| Err(anyhow::anyhow!("not over after {} s", behaviour.within.as_secs())));
    let seen = result.is_err().then(|| diagnostics::gather(cluster, namespace));
    let closed = tokio::time::timeout(Duration::from_mins(4), lab.close()).await;
    let closed = closed
        .unwrap_or_else(|_| Err(anyhow::anyhow!("the namespace does not go")))
        .context("clean up");
    result.and(closed).map_err(|error| Failure {
        error,
        seen: seen.unwrap_or_default(),
    })
}

/// A name that no earlier run has used: what an earlier run left is not in the way.
fn namespace(number: usize) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    format!("t{number}-{:x}", now.as_millis())
}
