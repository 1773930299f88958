//! The operator: plans migrations, creates target pods and publishes status.
//!
//! One reconcile is a pipeline, and its types prove the order:
//!
//! ```text
//! observe (client) ──► Observed ──► decide (pure) ──► Decision ──► apply (client) ──► Applied ──► publish (client)
//! ```
//!
//! [`decide::decide`] has neither a client nor a clock; everything that can be got wrong is in it, and in
//! [`preflight`] and [`target_pod`], which are as pure. Status is written last and only from an
//! [`apply::Applied`], and a destructive action is only taken when the status that calls for it has been stored by an
//! earlier reconcile, so an operator that dies anywhere takes up where it was.

#![forbid(unsafe_code)]

pub mod admission;
pub mod apply;
pub mod args;
pub mod claim;
pub mod containers;
pub mod controller;
pub mod decide;
pub mod definition;
pub mod facts;
pub mod health;
pub mod known_node;
pub mod leader;
pub mod logging;
pub mod metrics;
pub mod node_report;
pub mod node_selector;
pub mod observe;
pub mod owner;
pub mod preflight;
pub mod publish;
pub mod reason;
pub mod relay;
pub mod run;
pub mod signer;
pub mod target_pod;
pub mod unlike;

/// Field manager of everything that the operator applies, and name of its events' reporter.
pub const FIELD_MANAGER: &str = "godwit-operator";
