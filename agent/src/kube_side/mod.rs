//! The agent's view of the API server, and what it says there. The API server may be away at any time and for any
//! length: nothing here ends for that, and nothing here makes a migration wait.

mod backoff;
mod feed;
mod node_label;
mod plainer;
mod pods;
mod pods_state;
mod report;
mod runtime_pods;
mod subscribers;

pub use feed::{MigrationEvent, MigrationFeed, Role};
pub use node_label::NodeLabel;
pub use plainer::Plainer;
pub use pods::NodePods;
pub use pods_state::PodEvent;
pub use report::{FlushError, Report, Reporter, SourceReporter, TargetReporter};
pub use runtime_pods::pods_of_runtime_class;
