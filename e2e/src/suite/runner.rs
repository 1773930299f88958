//! Runs behaviours one after the other and counts.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::future::{OptionFuture, join};

use super::{Behaviour, Lab, diagnostics};
use crate::Cluster;

/// How long a namespace may take to go.
const CLOSES: Duration = Duration::from_mins(4);

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
///
/// The namespace of one goes while the next is shown: for the API server that takes five seconds even if nothing is in it.
pub fn in_cluster(cluster: &Cluster, behaviours: &[Behaviour]) -> Result<Tally> {
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    let mut tally = Tally::default();
    let mut before: Option<Shown<'_>> = None;
    for (number, behaviour) in behaviours.iter().enumerate() {
        let namespace = namespace(number);
        let (shown, ended) = runtime.block_on(async {
            join(
                show(cluster, &namespace, behaviour),
                OptionFuture::from(before.take().map(Shown::end)),
            )
            .await
        });
        if let Some(passed) = ended {
            tally.count(passed);
        }
        before = Some(shown);
    }
    if let Some(last) = before {
        tally.count(runtime.block_on(last.end()));
    }
    Ok(tally)
}

/// A behaviour that was tried.
struct Shown<'a> {
    behaviour: &'a Behaviour,
    seconds: f64,
    result: Result<(), Failure>,
    /// Its namespace, if there was one.
    lab: Option<Lab>,
}

struct Failure {
    error: anyhow::Error,
    seen: String,
}

async fn show<'a>(cluster: &Cluster, namespace: &str, behaviour: &'a Behaviour) -> Shown<'a> {
    let began = Instant::now();
    let (lab, result) = match Lab::open(cluster.clone(), namespace).await {
        Ok(lab) => {
            let result = in_lab(cluster, &lab, behaviour).await;
            (Some(lab), result)
        }
        Err(error) => (
            None,
            Err(Failure {
                error,
                seen: String::new(),
            }),
        ),
    };
    Shown {
        behaviour,
        seconds: began.elapsed().as_secs_f64(),
        result,
        lab,
    }
}

async fn in_lab(cluster: &Cluster, lab: &Lab, behaviour: &Behaviour) -> Result<(), Failure> {
    let result = tokio::time::timeout(behaviour.within, (behaviour.run)(lab)).await;
    let result =
        result.unwrap_or_else(|_| Err(anyhow::anyhow!("not over after {} s", behaviour.within.as_secs())));
    let seen = result
        .is_err()
        .then(|| diagnostics::gather(cluster, lab.namespace()));
    result
        .and(lab.clear().await.context("clean up"))
        .map_err(|error| Failure {
            error,
            seen: seen.unwrap_or_default(),
        })
}

impl Shown<'_> {
    /// Waits for the end of its namespace, and prints its line. True: it was shown.
    async fn end(self) -> bool {
        let closed = match &self.lab {
            Some(lab) => tokio::time::timeout(CLOSES, lab.close())
                .await
                .unwrap_or_else(|_| Err(anyhow::anyhow!("the namespace does not go"))),
            None => Ok(()),
        };
        let result = self
            .result
            .and(closed.context("clean up").map_err(|error| Failure {
                error,
                seen: String::new(),
            }));
        let (name, seconds) = (self.behaviour.name, self.seconds);
        match &result {
            Ok(()) => println!("ok      {name} ({seconds:.1} s)"),
            Err(failure) => {
                println!("FAILED  {name} ({seconds:.1} s): {:#}", failure.error);
                print!("{}", failure.seen);
            }
        }
        result.is_ok()
    }
}

/// A name that no earlier run has used: what an earlier run left is not in the way.
fn namespace(number: usize) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    format!("t{number}-{:x}", now.as_millis())
}
