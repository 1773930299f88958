//! The API types of `godwit.dev`, and nothing else.
//!
//! Every other crate takes the shape of a [`PodMigration`] from here; the YAML beside this crate is
//! generated from these types by `crdgen`, and a test keeps the two equal.

#![forbid(unsafe_code)]

mod conditions;
mod definition;
mod duration;
mod names;
mod spec;
mod status;

pub use conditions::{ConditionType, condition, set_condition};
pub use definition::{CRD_FILE, DefinitionError, definition_yaml};
pub use duration::{DurationError, MigrationTimeout, format_duration, parse_duration};
pub use names::{
    AFFINITY_ANNOTATION, AGENT_READY_LABEL, AUTHORITY_NAME, COMPLETED_ANNOTATION, DOMAIN, GROUP,
    MIGRATION_FINALIZER, MIGRATION_LABEL, MIGRATION_UID_ANNOTATION, NODE_DNS_SUFFIX, ORIGIN_ANNOTATION,
    PARK_PREFIX, RUNTIME_CLASS, RUNTIME_LABEL, SIGNER_NAME, VERSION,
};
pub use spec::{PodMigration, PodMigrationSpec, TargetSpec};
pub use status::{
    CheckResult, FreezeTimings, MigrationPhase, Plan, PodMigrationStatus, Settlement, SourceReport,
    SourceState, TargetReport, TargetState, Timings, Transition, Verdict,
};
