//! Pages that have arrived.
