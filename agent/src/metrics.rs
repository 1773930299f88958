//! Figures for Prometheus; no object's name is ever a label.

use std::sync::Arc;
use std::time::Duration;

use godwit_crds::NodeReportStatus;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Side of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum RoleLabel {
    /// The pod came from this node.
    Source,
    /// The pod came to this node.
    Target,
}

/// How a migration ended on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum ResultLabel {
    /// The target runs.
    Succeeded,
    /// Given up; the source runs.
    Failed,
}

/// Labels of `godwit_agent_migrations_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MigrationLabels {
    /// Side.
    pub role: RoleLabel,
    /// End.
    pub result: ResultLabel,
}

/// Labels of `godwit_agent_active_migrations`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ActiveLabels {
    /// Side.
    pub role: RoleLabel,
}

/// Upper bounds of the freeze's buckets, in seconds.
const FREEZE_BUCKETS: [f64; 12] = [0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0];

/// The agent's figures; clones count on the same ones.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    migrations: Family<MigrationLabels, Counter>,
    active: Family<ActiveLabels, Gauge>,
    freeze: Histogram,
    bytes_sent: Counter,
    bytes_received: Counter,
    carried: Gauge,
    report: ReportGauges,
}

/// What this node's report says, without what it says of whom.
#[derive(Debug, Clone, Default)]
struct ReportGauges {
    pods: Gauge,
    movable: Gauge,
    unmovable: Gauge,
    ignored: Gauge,
    observed_at: Gauge,
}

impl ReportGauges {
    fn registered(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        for (name, help, gauge) in [
            (
                "node_pods",
                "Pods of this node that its NodeReport is about",
                &gauges.pods,
            ),
            (
                "node_pods_movable",
                "Those of them that could be moved",
                &gauges.movable,
            ),
            (
                "node_pods_unmovable",
                "Those of them that a migration would refuse; why, the NodeReport says",
                &gauges.unmovable,
            ),
            (
                "node_pods_ignored",
                "Pods of this node that nobody moves: of DaemonSets, static ones, and those that have ended",
                &gauges.ignored,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register_with_unit(
            "node_report_timestamp",
            "When the agent looked at the pods that the NodeReport is about; 0 if it has not yet",
            Unit::Seconds,
            gauges.observed_at.clone(),
        );
        gauges
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A registry of its own with all figures at zero.
    pub fn new() -> Self {
        let (migrations, active) = (Family::default(), Family::default());
        let freeze = Histogram::new(FREEZE_BUCKETS);
        let (bytes_sent, bytes_received) = (Counter::default(), Counter::default());
        let carried = Gauge::default();
        let mut registry = Registry::with_prefix("godwit_agent");
        registry.register(
            "migrations",
            "Migrations that ended on this node",
            migrations.clone(),
        );
        registry.register(
            "active_migrations",
            "Migrations under way on this node",
            active.clone(),
        );
        registry.register_with_unit(
            "freeze",
            "Time from the first frozen instruction to the running target, by the source's clock",
            Unit::Seconds,
            freeze.clone(),
        );
        registry.register(
            "bytes_sent",
            "Bytes sent to the agents of other nodes",
            bytes_sent.clone(),
        );
        registry.register(
            "bytes_received",
            "Bytes received from the agents of other nodes",
            bytes_received.clone(),
        );
        registry.register(
            "carried_addresses",
            "Addresses that this node carries for open connections",
            carried.clone(),
        );
        let report = ReportGauges::registered(&mut registry);
        Self {
            registry: Arc::new(registry),
            migrations,
            active,
            freeze,
            bytes_sent,
            bytes_received,
            carried,
            report,
        }
    }

    /// Counts a migration that has ended.
    pub fn ended(&self, role: RoleLabel, result: ResultLabel) {
        self.migrations
            .get_or_create(&MigrationLabels { role, result })
            .inc();
    }

    /// Counts a migration as under way until the guard is dropped.
    pub fn active(&self, role: RoleLabel) -> ActiveGuard {
        let gauge = self.active.get_or_create(&ActiveLabels { role }).clone();
        gauge.inc();
        ActiveGuard { gauge }
    }

    /// Records the length of a freeze.
    pub fn frozen(&self, length: Duration) {
        self.freeze.observe(length.as_secs_f64());
    }

    /// Counts bytes sent to another agent.
    pub fn sent(&self, bytes: u64) {
        self.bytes_sent.inc_by(bytes);
    }

    /// Counts bytes received from another agent.
    pub fn received(&self, bytes: u64) {
        self.bytes_received.inc_by(bytes);
    }

    /// Sets how many addresses are carried.
    pub fn carried(&self, addresses: usize) {
        self.carried.set(i64::try_from(addresses).unwrap_or(i64::MAX));
    }

    /// Takes the figures of this node's report; none: there is no report.
    pub fn node_report(&self, status: Option<&NodeReportStatus>) {
        let summary = status.and_then(|status| status.summary).unwrap_or_default();
        let observed = status.and_then(|status| status.observed_at.as_ref());
        let to = &self.report;
        to.pods.set(summary.pods.into());
        to.movable.set(summary.movable.into());
        to.unmovable.set(summary.not_movable.into());
        to.ignored.set(summary.ignored.into());
        to.observed_at.set(observed.map_or(0, |time| time.0.as_second()));
    }

    /// All figures in the text form of `OpenMetrics`.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// A migration under way, as counted.
#[derive(Debug)]
pub struct ActiveGuard {
    gauge: Gauge,
}

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_report_has_figures_without_labels() {
        let metrics = Metrics::new();
        let status: NodeReportStatus = serde_json::from_value(serde_json::json!({
            "observedAt": "2027-01-15T08:00:00Z",
            "summary": {"pods": 5, "movable": 3, "notMovable": 2, "ignored": 4},
        }))
        .unwrap();
        metrics.node_report(Some(&status));
        let text = metrics.encode().unwrap();
        for line in [
            "godwit_agent_node_pods 5",
            "godwit_agent_node_pods_movable 3",
            "godwit_agent_node_pods_unmovable 2",
            "godwit_agent_node_pods_ignored 4",
            "godwit_agent_node_report_timestamp_seconds 1800000000",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} not in {text}");
        }
        metrics.node_report(None);
        assert!(metrics.encode().unwrap().contains("godwit_agent_node_pods 0\n"));
    }

    #[test]
    fn figures_have_their_names_and_labels() {
        let metrics = Metrics::new();
        metrics.ended(RoleLabel::Source, ResultLabel::Succeeded);
        metrics.frozen(Duration::from_millis(220));
        metrics.sent(42);
        let guard = metrics.active(RoleLabel::Target);
        let text = metrics.encode().unwrap();
        for line in [
            "godwit_agent_migrations_total{role=\"Source\",result=\"Succeeded\"} 1",
            "godwit_agent_active_migrations{role=\"Target\"} 1",
            "godwit_agent_freeze_seconds_bucket{le=\"0.2\"} 0",
            "godwit_agent_freeze_seconds_bucket{le=\"0.3\"} 1",
            "godwit_agent_bytes_sent_total 42",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} not in {text}");
        }
        drop(guard);
        assert!(
            metrics
                .encode()
                .unwrap()
                .contains("active_migrations{role=\"Target\"} 0")
        );
    }
}
