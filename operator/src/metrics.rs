//! Prometheus metrics. No label is an object's name: there would be no end of series.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use godwit_crds::{
    CopyMode, MigrationPhase, PodMigrationStatus, SourceReport, SourceState, TrackingMethod, parse_duration,
};
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    result: &'static str,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Copied {
    mode: &'static str,
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stage {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Verdict {
    verdict: &'static str,
}

/// Every metric of the operator.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    ended: Family<Ended, Counter>,
    freeze: Histogram,
    sent: Histogram,
    rounds: Histogram,
    copied: Family<Copied, Counter>,
    reconcile: Histogram,
    errors: Family<Stage, Counter>,
    requests: Family<Verdict, Counter>,
    leads: Gauge<i64, AtomicI64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("godwit_operator");
        let ended = Family::<Ended, Counter>::default();
        registry.register(
            "migrations_ended",
            "Migrations that ended, by result and reason",
            ended.clone(),
        );
        let freeze = Histogram::new([0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0]);
        registry.register(
            "freeze_seconds",
            "How long pods were frozen in migrations that succeeded",
            freeze.clone(),
        );
        // From 1 MiB to 4 TiB.
        let sent = Histogram::new(exponential_buckets(1_048_576.0, 4.0, 12));
        registry.register(
            "sent_bytes",
            "What was sent from node to node in migrations that succeeded",
            sent.clone(),
        );
        let rounds = Histogram::new([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0]);
        registry.register(
            "precopy_rounds",
            "Rounds in which memory was copied ahead of the freeze, in migrations that succeeded that way",
            rounds.clone(),
        );
        let copied = Family::<Copied, Counter>::default();
        registry.register(
            "memory_copied",
            "Migrations that succeeded, by how memory was moved and by what writes were tracked",
            copied.clone(),
        );
        let reconcile = Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0]);
        registry.register(
            "reconcile_seconds",
            "How long one look at a migration took",
            reconcile.clone(),
        );
        let errors = Family::<Stage, Counter>::default();
        registry.register(
            "reconcile_errors",
            "Looks at a migration that failed and are tried again, by stage",
            errors.clone(),
        );
        let requests = Family::<Verdict, Counter>::default();
        registry.register(
            "certificate_requests",
            "Agents' certificate requests, by verdict",
            requests.clone(),
        );
        let leads = Gauge::<i64, AtomicI64>::default();
        registry.register(
            "leads",
            "1 while this replica is the one that works",
            leads.clone(),
        );
        Self {
            registry: Arc::new(registry),
            ended,
            freeze,
            sent,
            rounds,
            copied,
            reconcile,
            errors,
            requests,
            leads,
        }
    }
}

impl Metrics {
    /// A migration has just ended with that status.
    pub fn ended(&self, status: &PodMigrationStatus) {
        let result = if status.phase == MigrationPhase::Succeeded {
            "succeeded"
        } else {
            "failed"
        };
        let reason = bounded(status.reason.as_deref().unwrap_or_default());
        self.ended.get_or_create(&Ended { result, reason }).inc();
        let freeze = status
            .timings
            .as_ref()
            .and_then(|timings| timings.freeze.as_ref());
        // The freezes of a migration in legs are those of its legs.
        let freeze = freeze.filter(|_| status.legs.is_empty());
        if let Some(total) = freeze.and_then(|freeze| parse_duration(&freeze.total).ok()) {
            self.freeze.observe(total.as_secs_f64());
        }
        if let Some(source) = status
            .source
            .as_ref()
            .filter(|source| status.phase == MigrationPhase::Succeeded && source.state != SourceState::Looked)
        {
            self.moved(source);
        }
    }

    fn moved(&self, source: &SourceReport) {
        #[allow(clippy::cast_precision_loss, reason = "buckets are far wider")]
        self.sent.observe(source.bytes_sent.max(0) as f64);
        let Some(memory) = &source.memory else { return };
        let Some(mode) = memory.mode else { return };
        let method = memory.method.map_or("None", TrackingMethod::as_str);
        let mode_name = mode.as_str();
        self.copied
            .get_or_create(&Copied {
                mode: mode_name,
                method,
            })
            .inc();
        if mode == CopyMode::PreCopy {
            self.rounds.observe(f64::from(memory.round));
        }
    }

    /// One reconcile took that long.
    pub fn reconciled(&self, took: Duration) {
        self.reconcile.observe(took.as_secs_f64());
    }

    /// A reconcile failed at that stage.
    pub fn failed(&self, stage: &'static str) {
        self.errors.get_or_create(&Stage { stage }).inc();
    }

    /// A certificate request was signed or denied.
    pub fn request(&self, verdict: &'static str) {
        self.requests.get_or_create(&Verdict { verdict }).inc();
    }

    /// This replica began or ceased to lead.
    pub fn leads(&self, leads: bool) {
        self.leads.set(i64::from(leads));
    }

    /// The text that Prometheus scrapes.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Agents name their own reasons; a faulty one must not make a series of every message.
fn bounded(reason: &str) -> String {
    let is_sane = (1..=40).contains(&reason.len()) && reason.chars().all(|c| c.is_ascii_alphanumeric());
    if is_sane {
        reason.to_owned()
    } else {
        "Other".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_reason_is_a_label_only_if_it_looks_like_one() {
        assert_eq!(bounded("DumpFailed"), "DumpFailed");
        for wild in ["", "pod redis-0 failed", &"A".repeat(41)] {
            assert_eq!(bounded(wild), "Other", "{wild}");
        }
    }

    #[test]
    fn how_memory_was_moved_is_counted_for_what_succeeded_only() {
        let metrics = Metrics::default();
        let mut status: PodMigrationStatus = serde_json::from_value(serde_json::json!({
            "phase": "Failed",
            "source": {
                "state": "Released", "bytesSent": 2_000_000,
                "memory": {"mode": "PreCopy", "method": "WriteProtect", "round": 3}
            }
        }))
        .unwrap();
        metrics.ended(&status);
        let text = metrics.text().unwrap();
        assert!(text.contains("godwit_operator_sent_bytes_count 0"), "{text}");
        status.phase = MigrationPhase::Succeeded;
        metrics.ended(&status);
        let text = metrics.text().unwrap();
        for line in [
            "godwit_operator_sent_bytes_sum 2000000.0",
            "godwit_operator_precopy_rounds_sum 3.0",
            r#"godwit_operator_memory_copied_total{mode="PreCopy",method="WriteProtect"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }

    #[test]
    fn the_end_of_a_migration_is_counted_once_and_without_names() {
        let metrics = Metrics::default();
        let status = PodMigrationStatus {
            phase: MigrationPhase::Failed,
            reason: Some("TimedOut".to_owned()),
            ..PodMigrationStatus::default()
        };
        metrics.ended(&status);
        let text = metrics.text().unwrap();
        assert!(
            text.contains(r#"godwit_operator_migrations_ended_total{result="failed",reason="TimedOut"} 1"#),
            "{text}"
        );
    }
}
