//! How many rounds, how fast, and when to freeze.
//!
//! Pure: whoever copies tells what each round was like, and asks what comes next. [`Pace`] keeps a copy under a cap.

mod decide;
mod estimate;
mod pace;

pub use decide::{DirtyRateTooHigh, MAX_ROUNDS, Mode, Next, Situation, decide};
pub use estimate::{Costs, Estimate, Passed};
pub use pace::Pace;
