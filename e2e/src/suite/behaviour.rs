//! One thing that Godwit must do, shown in a cluster.

use std::time::Duration;

use anyhow::Result;
use futures::future::LocalBoxFuture;

use super::Lab;

/// How long a behaviour may take if it does not say otherwise.
const USUAL: Duration = Duration::from_mins(4);

/// A behaviour: a sentence, and the test that shows it.
#[derive(Debug, Clone, Copy)]
pub struct Behaviour {
    /// What is true of Godwit, as a sentence in small letters without a stop.
    pub name: &'static str,
    /// Shows it, in a namespace of its own which is deleted afterwards. An error says what was found instead.
    pub run: for<'a> fn(&'a Lab) -> LocalBoxFuture<'a, Result<()>>,
    /// Longer than this, and it has failed.
    pub within: Duration,
}

impl Behaviour {
    /// A behaviour with the usual time limit: `Behaviour::new("a pod moves", |lab| Box::pin(run(lab)))`.
    pub const fn new(name: &'static str, run: for<'a> fn(&'a Lab) -> LocalBoxFuture<'a, Result<()>>) -> Self {
        Self {
            name,
            run,
            within: USUAL,
        }
    }

    /// The same with a time limit of its own.
    #[must_use]
    pub const fn within(mut self, limit: Duration) -> Self {
        self.within = limit;
        self
    }
}
