//! What cannot be moved is refused within seconds, by name, and nothing is touched.

mod agents_rights;
mod destinations;
mod images;
mod pods;
pub(super) mod refusal;
mod report_rights;
mod rivals;
mod specs;
mod time_out;

use super::Behaviour;

pub(super) use refusal::refused;

/// All of them.
pub const ALL: &[Behaviour] = &[
    pods::NONE,
    pods::NOT_RUNNING,
    pods::UNSUPPORTED,
    destinations::UNUSABLE,
    destinations::WITHOUT_AGENT,
    rivals::SECOND,
    images::ABSENT,
    images::DIFFERENT,
    specs::BAD,
    specs::CHANGED,
    time_out::TOO_SHORT,
    agents_rights::CONFINED,
    report_rights::CONFINED,
];
