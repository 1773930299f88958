//! What the target's agent says in `status.target`.

use godwit_crds::{MAX_WARNINGS, TargetMemory, TargetReport, TargetState};

use crate::{failure::Failure, kube_side::TargetReporter};

/// The report so far, and where it goes.
#[derive(Debug)]
pub(super) struct TargetStatus {
    report: TargetReport,
    reporter: TargetReporter,
}

impl TargetStatus {
    /// Begins with `Ready`; `resumed` where an earlier life of the agent began the migration.
    pub(super) fn new(reporter: TargetReporter, resumed: bool) -> Self {
        let report = TargetReport {
            state: TargetState::Ready,
            resumed,
            ..TargetReport::default()
        };
        Self { report, reporter }
    }

    /// Changes the state and sends it on its way.
    pub(super) fn say(&mut self, state: TargetState) {
        self.report.state = state;
        self.reporter.report(self.report.clone());
    }

    /// What is said of the pod's memory, together with what is said next.
    pub(super) fn memory(&mut self, memory: TargetMemory) {
        self.report.memory = Some(memory);
    }

    /// What is different from what it should be, said together with what is said next.
    pub(super) fn warn(&mut self, warnings: Vec<String>) {
        self.report.warnings.extend(warnings);
        self.report.warnings.truncate(MAX_WARNINGS);
    }

    /// Says again what has changed.
    pub(super) fn again(&mut self) {
        self.reporter.report(self.report.clone());
    }

    /// The target runs and carries these addresses.
    pub(super) fn running(&mut self, carried: Vec<String>) {
        self.report.carried = carried;
        self.say(TargetState::Running);
    }

    /// Given up, because of this failure.
    pub(super) fn aborted(&mut self, failure: &Failure) {
        self.report.reason = Some(failure.reason.clone());
        self.report.message = Some(failure.to_string());
        self.say(TargetState::Aborted);
    }
}
