//! Properties of whole migrations: a small model of cluster and agents does what real ones may do, in any order, and
//! `decide` is asked again and again, as the controller asks it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which may")]

mod always;
mod ends;
mod happening;
mod memory;
mod owned;
mod owners;
mod phases;
#[path = "../support/mod.rs"]
mod support;
mod world;
