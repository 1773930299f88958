//! How long each part took, from the beginnings of the phases and from what the source's agent measured.

use godwit_crds::{
    FreezeTimings, MigrationPhase, PodMigrationStatus, Timings, format_duration, parse_duration,
};

use super::step::elapsed;

/// The timings that the status allows so far; `None` before the first part is over.
pub(super) fn of(status: &PodMigrationStatus) -> Option<Timings> {
    let began = |phase: MigrationPhase| {
        status
            .transitions
            .iter()
            .find(|transition| transition.phase == phase)
    };
    let part = |from: MigrationPhase, to: &[MigrationPhase]| {
        let from = began(from)?;
        let to = to.iter().find_map(|phase| began(*phase))?;
        Some(format_duration(elapsed(from.at.0, to.at.0)))
    };
    let timings = Timings {
        // A dry run, and a refusal, end with it.
        preflight: part(
            MigrationPhase::Preflight,
            &[
                MigrationPhase::Preparing,
                MigrationPhase::Succeeded,
                MigrationPhase::Failed,
            ],
        ),
        prepare: part(MigrationPhase::Preparing, &[MigrationPhase::Copying]),
        // A switch can be over before the operator has seen it begin.
        copy: part(
            MigrationPhase::Copying,
            &[MigrationPhase::Switching, MigrationPhase::Finishing],
        ),
        freeze: match status.legs.as_slice() {
            [] => status.source.as_ref().and_then(|source| source.freeze.clone()),
            legs => legs
                .iter()
                .filter_map(|leg| leg.freeze.clone())
                .reduce(|one, other| sum(&one, &other)),
        },
        finish: part(MigrationPhase::Finishing, &[MigrationPhase::Succeeded]),
    };
    (timings != Timings::default()).then_some(timings)
}

/// Of two freezes, part by part. What cannot be read counts as nothing.
fn sum(one: &FreezeTimings, other: &FreezeTimings) -> FreezeTimings {
    let part = |of: fn(&FreezeTimings) -> &String| {
        let parts = [one, other].map(|freeze| parse_duration(of(freeze)).unwrap_or_default());
        format_duration(parts.into_iter().sum())
    };
    FreezeTimings {
        pause: part(|freeze| &freeze.pause),
        dump: part(|freeze| &freeze.dump),
        send: part(|freeze| &freeze.send),
        restore: part(|freeze| &freeze.restore),
        commit: part(|freeze| &freeze.commit),
        total: part(|freeze| &freeze.total),
    }
}
