//! The API types of `godwit.dev`, and what agents write about their nodes for the operator to compare.
//!
//! Every other crate takes the shape of a [`PodMigration`] and of a [`NodeReport`] from here; the YAML beside this crate is
//! generated from these types by `crdgen`, and a test keeps the two equal.

#![forbid(unsafe_code)]

mod bandwidth;
pub mod checks;
mod conditions;
pub mod cpu;
mod definition;
mod duration;
mod legs;
mod memory;
mod names;
mod node_facts;
mod node_report;
mod quantity;
mod spec;
mod status;

pub use bandwidth::{Bandwidth, BandwidthError, MAX_BANDWIDTH, MIN_BANDWIDTH};
pub use conditions::{ConditionStatus, ConditionType, condition, set_condition};
pub use definition::{CRD_FILE, DefinitionError, definition_yaml, definitions};
pub use duration::{DurationError, FreezeBudget, MigrationTimeout, format_duration, parse_duration};
pub use legs::{Leg, LegReport};
pub use memory::{CopyMode, MAX_ROUNDS, MemoryMode, MemoryRound, SourceMemory, TargetMemory, TrackingMethod};
pub use names::{
    ACCEPTS_NEW_NAME_ANNOTATION, AFFINITY_ANNOTATION, AGENT_READY_LABEL, AUTHORITY_NAME,
    COMPLETED_ANNOTATION, CPU_CLASS_LABEL, DOMAIN, GROUP, GUARD_LABEL, LEG_ANNOTATION, LEG_OF_LABEL,
    LOOK_ANNOTATION, MEMORY_TRACKING_LABEL, MIGRATION_FINALIZER, MIGRATION_LABEL, MIGRATION_UID_ANNOTATION,
    NODE_DNS_SUFFIX, NODE_FACTS_ANNOTATION, ORIGIN_ANNOTATION, PARK_PREFIX, RUNTIME_CLASS, RUNTIME_LABEL,
    SIGNER_NAME, STAND_IN_ANNOTATION, STAND_IN_LABEL, VERSION, WITHHELD_ANNOTATION,
};
pub use node_facts::{CgroupFacts, CriuFacts, Lsm, NodeFacts, NodeFactsError, ProtocolFacts};
pub use node_report::{
    AgentLook, MAX_ANSWER, MAX_POD_CHECKS, MAX_REPORT_PODS, NodeReport, NodeReportSpec, NodeReportStatus,
    PodLook, PodVerdict, ReportSummary, answer_of, is_ignored, is_mirror, told,
};
pub use quantity::{QuantityError, parse_quantity};
pub use spec::{PodMigration, PodMigrationSpec, TargetSpec};
pub use status::{
    CheckResult, FreezeTimings, MAX_AGENT_CHECKS, MAX_CHECKS, MAX_WARNINGS, MigrationPhase, Plan,
    PodMigrationStatus, Settlement, SourceReport, SourceState, TargetReport, TargetState, Timings,
    Transition, Verdict,
};
