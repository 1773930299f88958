//! Giving pages to restored processes.
