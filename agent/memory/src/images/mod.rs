//! Which pages CRIU expects later.
