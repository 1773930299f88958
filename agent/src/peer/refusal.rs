//! Reasons for which an agent refuses a caller, and by which the caller knows what to do.

/// The migration takes no connection any more.
pub const MIGRATION_OVER: &str = "MigrationOver";
/// The migration is not one of the caller's node.
pub const WRONG_NODE: &str = "WrongNode";
/// A migration has no lane of that number.
pub const LANE_OUT_OF_BOUNDS: &str = "LaneOutOfBounds";
