//! What a migration asks for.

use std::time::Duration;

use godwit_crds::{Bandwidth, FreezeBudget, MemoryMode, PodMigrationSpec};
use godwit_memory::rounds::Mode;

use crate::{failure::Failure, step::SourceStep};

/// What the spec says of memory, understood.
#[derive(Clone, Copy, Debug)]
pub(in crate::source) struct MemoryWish {
    /// How it is to be moved.
    pub(super) mode: MemoryMode,
    /// The longest freeze.
    pub(in crate::source) budget: Option<Duration>,
    /// Bytes a second while the pod runs.
    pub(super) bandwidth: Option<u64>,
    /// Whether the containers may be slowed down.
    pub(super) auto_converge: bool,
}

impl MemoryWish {
    /// Reads the spec. Fails on what the API server would not have let through.
    pub(in crate::source) fn of(spec: &PodMigrationSpec) -> Result<Self, Failure> {
        let invalid = |error: &(dyn std::error::Error + 'static)| {
            Failure::from_error(SourceStep::Discover, "InvalidSpec", error)
        };
        let budget = spec.freeze_budget.as_ref().map(FreezeBudget::duration);
        let bandwidth = spec.bandwidth.as_ref().map(Bandwidth::bytes_per_second);
        Ok(Self {
            mode: spec.memory,
            budget: budget.transpose().map_err(|error| invalid(&error))?,
            bandwidth: bandwidth.transpose().map_err(|error| invalid(&error))?,
            auto_converge: spec.auto_converge,
        })
    }

    /// How much is asked of pre-copy.
    pub(super) fn rounds_mode(&self) -> Mode {
        match self.mode {
            MemoryMode::PreCopy => Mode::PreCopy,
            MemoryMode::Auto | MemoryMode::StopAndCopy => Mode::Auto,
        }
    }
}
