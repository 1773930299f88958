//! Reads procfs: within bounds, for a pod decides how long its files are, and as bytes, for names of files and programs are the pod's own and need
//! not be text (which is why the crate `procfs` does not fit).
//!
//! | module | its one idea |
//! |---|---|
//! | [`bounded`] | files whose length nobody vouches for |
//! | [`field`] | what lines are made of |
//! | [`mountinfo`] | the mounts that a process sees |

#![forbid(unsafe_code)]

pub mod bounded;
pub mod field;
pub mod mountinfo;
