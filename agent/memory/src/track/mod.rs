//! Which pages of a running process were written since the last look.
