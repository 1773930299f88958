//! Pods of stateful sets: each keeps its name, in two legs, and at no moment are there two of it or none.

mod names;
mod operator_dies;
mod replicated;
mod set;
mod tried_again;
mod turns;
mod wins;

use super::Behaviour;

/// All of them.
pub const ALL: &[Behaviour] = &[
    turns::BEHAVIOUR,
    replicated::BEHAVIOUR,
    wins::SCALED_BEFORE,
    wins::SCALED_AFTER,
    wins::REVISED_BEFORE,
    wins::REVISED_AFTER,
    tried_again::ONCE,
    tried_again::BY_HAND,
    operator_dies::BEHAVIOUR,
];
