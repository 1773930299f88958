//! Agents and operator die; migrations end as they must.

mod after;
mod before;
mod operator;

use super::Behaviour;

/// All of them.
pub const ALL: &[Behaviour] = &[
    before::SOURCE_AGENT,
    before::TARGET_AGENT,
    operator::MID_WAY,
    after::SOURCE_AGENT,
    after::TARGET_AGENT,
    after::OPERATOR,
];
