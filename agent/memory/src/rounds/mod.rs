//! How many rounds, how fast, and when to freeze.
