//! Medians and the table.

use std::fmt::Write as _;

/// Values of one kind, one for each run.
#[derive(Debug, Clone, Default)]
pub struct Series(Vec<f64>);

impl Series {
    /// One more value.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The value at or below which `share` (0 to 1) of all values are: the nearest rank. `None` of nothing.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank among a few values"
        )]
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied()
    }

    /// The middle value; of an even number of values the mean of the two in the middle.
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let upper = *sorted.get(sorted.len() / 2)?;
        if sorted.len() % 2 == 1 {
            return Some(upper);
        }
        Some(f64::midpoint(*sorted.get(sorted.len() / 2 - 1)?, upper))
    }
}

/// A table of series, in the order in which they first came.
#[derive(Debug, Clone, Default)]
pub struct Table(Vec<(String, usize, Series)>);

impl Table {
    /// One value of the series `name`, which is shown with that many decimals.
    pub fn add(&mut self, name: &str, decimals: usize, value: f64) {
        match self.0.iter_mut().find(|(known, _, _)| known == name) {
            Some((_, _, series)) => series.push(value),
            None => self.0.push((name.to_owned(), decimals, Series(vec![value]))),
        }
    }

    /// One duration in milliseconds, given in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "durations of seconds")]
    pub fn add_us(&mut self, name: &str, us: u64) {
        self.add(name, 1, us as f64 / 1000.0);
    }

    /// The series of that name.
    pub fn series(&self, name: &str) -> Option<&Series> {
        self.0
            .iter()
            .find(|(known, _, _)| known == name)
            .map(|(_, _, series)| series)
    }

    /// The table as Markdown.
    pub fn markdown(&self) -> String {
        let mut text =
            "| | median | p99 | min | max | runs |\n| --- | ---: | ---: | ---: | ---: | ---: |\n".to_owned();
        for (name, decimals, series) in &self.0 {
            let shown = |value: Option<f64>| {
                value.map_or_else(|| "–".to_owned(), |value| format!("{value:.decimals$}"))
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| {name} | {} | {} | {} | {} | {} |",
                shown(series.median()),
                shown(series.quantile(0.99)),
                shown(series.quantile(0.0)),
                shown(series.quantile(1.0)),
                series.0.len()
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values() {
        let series = Series((1..=100).rev().map(f64::from).collect());
        assert_eq!(series.quantile(0.99), Some(99.0));
        assert_eq!(series.quantile(0.0), Some(1.0));
        assert_eq!(series.quantile(1.0), Some(100.0));
        assert_eq!(series.median(), Some(50.5));
        assert_eq!(Series(vec![3.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(Series::default().median(), None);
        assert_eq!(Series::default().quantile(0.5), None);
    }

    #[test]
    fn a_row_for_each_series() {
        let mut table = Table::default();
        table.add_us("gap, ms", 1_500);
        table.add_us("gap, ms", 2_500);
        table.add("ratio", 2, 1.0);
        assert!(
            table
                .markdown()
                .contains("| gap, ms | 2.0 | 2.5 | 1.5 | 2.5 | 2 |"),
            "{}",
            table.markdown()
        );
        assert!(table.markdown().contains("| ratio | 1.00 |"));
    }
}
