//! Reading pages of another process.
