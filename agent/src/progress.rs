//! Which step a migration is at: for its status, its log, and for faults that a test asked for.

use std::{fmt::Display, sync::Mutex};

use crate::{
    failure::Failure,
    fault::{self, Side},
};

/// The step under way, shared between the task and whoever calls it off.
#[derive(Debug)]
pub struct Progress<S> {
    side: Side,
    step: Mutex<S>,
}

impl<S: Copy + Display> Progress<S> {
    /// At the first step.
    pub fn new(side: Side, first: S) -> Self {
        Self {
            side,
            step: Mutex::new(first),
        }
    }

    /// Begins a step. Fails only where a test asked for it.
    pub async fn enter(&self, step: S) -> Result<(), Failure> {
        *self
            .step
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = step;
        tracing::info!(step = %step, "step");
        fault::point(self.side, step).await
    }

    /// The step that was begun last.
    pub fn step(&self) -> S {
        *self
            .step
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
