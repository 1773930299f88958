//! Migrations in legs: what a parent does, whatever becomes of its legs, its StatefulSet and its pods.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which may")]

#[path = "../support/mod.rs"]
mod support;

mod away;
mod home;
mod kept;
mod pods;
mod world;
