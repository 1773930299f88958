//! The rows, by language; those that are refused are together.

mod c;
mod go;
mod java;
mod lost;
mod node;
mod python;
mod refused;
mod rust;

use super::row::Row;

/// Every row of the table.
pub(super) fn all() -> impl Iterator<Item = &'static Row> {
    [
        c::ROWS,
        rust::ROWS,
        go::ROWS,
        python::ROWS,
        java::ROWS,
        node::ROWS,
        lost::ROWS,
        refused::ROWS,
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_row_is_there_twice() {
        let mut seen = BTreeSet::new();
        for row in all() {
            assert!(
                seen.insert((row.language, row.program, row.environment, row.confined)),
                "{} twice",
                row.name()
            );
        }
        assert!(seen.len() >= 40);
    }
}
