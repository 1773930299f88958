//! Tracking of real processes. Each test has programs of its own, which it kills at its end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::undocumented_unsafe_blocks,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "helpers of tests are outside of test functions, for which clippy.toml allows these; the tracked programs are made of bare \
              system calls with small numbers"
)]

#[path = "root_track/copies.rs"]
mod copies;
#[path = "root_track/frozen.rs"]
mod frozen;
#[path = "root_track/pages.rs"]
mod pages;
#[path = "root_track/program.rs"]
mod program;
#[path = "root_track/target.rs"]
mod target;
#[path = "root_track/tasks.rs"]
mod tasks;
