//! The API types of `godwit.dev`, and nothing else.
//!
//! Every other crate takes the shape of a [`PodMigration`] from here; the YAML beside this crate is
//! generated from these types by `crdgen`, and a test keeps the two equal.

mod conditions;
mod duration;
mod names;
mod spec;
mod status;

pub use conditions::{ConditionType, condition, set_condition};
pub use duration::{DurationError, MigrationTimeout};
pub use names::{
    AGENT_READY_LABEL, COMPLETED_ANNOTATION, DOMAIN, GROUP, MIGRATION_FINALIZER,
    MIGRATION_LABEL, ORIGIN_ANNOTATION, PARK_PREFIX, RUNTIME_CLASS, SIGNER_NAME, VERSION,
};
pub use spec::{PodMigration, PodMigrationSpec, TargetSpec};
pub use status::{
    CheckResult, FreezeTimings, MigrationPhase, Plan, PodMigrationStatus, SourceReport, SourceState, TargetReport,
    TargetState, Timings, Verdict,
};
