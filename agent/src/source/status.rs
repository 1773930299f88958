//! What the source's agent says in `status.source`.

use godwit_crds::{CheckResult, MAX_WARNINGS, SourceReport, SourceState};

use crate::{failure::Failure, kube_side::SourceReporter};

/// The report so far, and where it goes.
#[derive(Debug)]
pub(super) struct SourceStatus {
    report: SourceReport,
    reporter: SourceReporter,
}

impl SourceStatus {
    /// Begins with `Copying`, and with what was seen in preflight; `resumed` where an earlier life of the agent began the migration.
    pub(super) fn new(reporter: SourceReporter, preflight: Vec<CheckResult>, resumed: bool) -> Self {
        let report = SourceReport {
            state: SourceState::Copying,
            preflight,
            resumed,
            ..SourceReport::default()
        };
        Self { report, reporter }
    }

    /// Changes the report and sends it on its way.
    pub(super) fn say(&mut self, change: impl FnOnce(&mut SourceReport)) {
        change(&mut self.report);
        self.reporter.report(self.report.clone());
    }

    /// What is different from what it should be, said together with what is said next.
    pub(super) fn warn(&mut self, warnings: Vec<String>) {
        self.report.warnings.extend(warnings);
        self.report.warnings.truncate(MAX_WARNINGS);
    }

    /// The source runs on, because of this failure.
    pub(super) fn rolled_back(&mut self, failure: &Failure) {
        self.say(|report| {
            report.state = SourceState::RolledBack;
            report.step = Some(failure.step.clone());
            report.reason = Some(failure.reason.clone());
            report.message = Some(failure.message.clone());
            // It is undone before this is said.
            if let Some(memory) = &mut report.memory {
                memory.throttle_percent = None;
            }
        });
    }
}
