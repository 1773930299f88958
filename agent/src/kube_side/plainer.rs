//! What of a report can be left out, for an API server that will not take all of it.
//!
//! A definition of an older release does not know newer fields, and the whole report is refused for one of them; but
//! others wait for the state in it: the operator, and through it the other agent. So what only informs is given up first,
//! then everything but the state and why.

use godwit_crds::{SourceReport, TargetReport};

/// Bytes of a message in the plainest report.
const MESSAGE_LIMIT: usize = 512;

/// Reports that say less and less.
pub trait Plainer: Sized {
    /// Without fields that only inform: the state, the step and the reason are left.
    ///
    /// Of the target's memory: the operator takes its absence for memory that is complete, so the migration is over
    /// before the last page is filled in. All pages are on the node by the commit and are filled in all the same.
    #[must_use]
    fn without_figures(&self) -> Self;
    /// The state, the reason and the beginning of the message.
    #[must_use]
    fn barest(&self) -> Self;
}

/// Both reports have the fields that are kept; they differ in what only informs.
macro_rules! plainer {
    ($report:ty, $($figure:ident),+) => {
        impl Plainer for $report {
            fn without_figures(&self) -> Self {
                Self {
                    $($figure: Default::default(),)+
                    ..self.clone()
                }
            }

            fn barest(&self) -> Self {
                Self {
                    state: self.state,
                    reason: self.reason.clone(),
                    message: self.message.as_deref().map(beginning),
                    ..Self::default()
                }
            }
        }
    };
}

plainer!(SourceReport, memory, freeze, warnings);
plainer!(TargetReport, memory, carried, warnings);

fn beginning(message: &str) -> String {
    message[..message.floor_char_boundary(MESSAGE_LIMIT)].to_owned()
}

#[cfg(test)]
mod tests {
    use godwit_crds::{SourceMemory, SourceState, TargetMemory, TargetState};

    use super::*;

    #[test]
    fn the_state_and_why_are_never_left_out() {
        let source = SourceReport {
            state: SourceState::RolledBack,
            step: Some("Dump".to_owned()),
            reason: Some("DumpFailed".to_owned()),
            message: Some("é".repeat(MESSAGE_LIMIT)),
            memory: Some(SourceMemory::default()),
            bytes_sent: 7,
            ..SourceReport::default()
        };
        let plain = source.without_figures();
        assert_eq!((plain.memory.as_ref(), plain.bytes_sent), (None, 7));
        assert_eq!(
            (plain.state, plain.step.clone()),
            (source.state, source.step.clone())
        );
        assert_eq!(plain.message, source.message);
        let bare = source.barest();
        assert_eq!(
            (bare.state, &bare.reason, &bare.step),
            (source.state, &source.reason, &None)
        );
        assert_eq!(bare.message.unwrap().len(), MESSAGE_LIMIT);

        let target = TargetReport {
            state: TargetState::Running,
            carried: vec!["10.0.0.7".to_owned()],
            memory: Some(TargetMemory::default()),
            ..TargetReport::default()
        };
        assert_eq!(target.without_figures(), target.barest());
        assert_eq!(target.barest().state, TargetState::Running);
    }
}
