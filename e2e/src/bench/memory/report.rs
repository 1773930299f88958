//! All figures, as tables.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use super::cell::{Cell, Pattern, Program};
use super::plot;
use super::ways::{Figures, Way};
use crate::bench::figures::Series;

/// Everything that was measured.
#[derive(Debug, Clone, Default)]
pub struct Report(Vec<Row>);

#[derive(Debug, Clone)]
struct Row {
    cell: Cell,
    way: Way,
    runs: Vec<Figures>,
    failure: Option<String>,
}

/// A column: its head, decimals, and its value.
type Column = (&'static str, usize, fn(&Figures) -> Option<f64>);
const COLUMNS: [Column; 8] = [
    ("freeze, ms", 0, |figures| figures.freeze_ms),
    ("gap, ms", 0, |figures| figures.gap_ms),
    ("total, ms", 0, |figures| figures.total_ms),
    ("sent, MiB", 1, |figures| figures.sent_mib),
    ("throughput while copied, %", 0, |figures| figures.copy_percent),
    ("in the second after the freeze, %", 0, |figures| {
        figures.fill_percent
    }),
    ("agents, MiB", 0, |figures| figures.agents_mib),
    ("files in memory, MiB", 0, |figures| figures.files_mib),
];

impl Report {
    /// One run; gives it in one line.
    pub fn add(&mut self, cell: Cell, way: Way, figures: Figures) -> String {
        self.row(cell, way).runs.push(figures);
        let shown = COLUMNS
            .iter()
            .filter_map(|(name, decimals, value)| Some(format!("{name} {:.decimals$}", value(&figures)?)));
        shown.collect::<Vec<_>>().join("; ")
    }

    /// A way failed, perhaps after some runs.
    pub fn fails(&mut self, cell: Cell, way: Way, why: &str) {
        self.row(cell, way).failure = Some(why.split_whitespace().collect::<Vec<_>>().join(" "));
    }

    fn row(&mut self, cell: Cell, way: Way) -> &mut Row {
        let known = self.0.iter().position(|row| row.cell == cell && row.way == way);
        let at = known.unwrap_or_else(|| {
            self.0.push(Row {
                cell,
                way,
                runs: Vec::new(),
                failure: None,
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    /// The median freeze of a way, in milliseconds.
    pub fn freeze(&self, cell: Cell, way: Way) -> Option<f64> {
        let row = self.0.iter().find(|row| row.cell == cell && row.way == way)?;
        median(&row.runs, |figures| figures.freeze_ms)
    }

    /// The tables as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| program | memory and writes | way |");
        for (name, _, _) in COLUMNS {
            let _ = write!(text, " {name} |");
        }
        text.push_str(" runs |\n| --- | --- | --- |");
        text.push_str(&" ---: |".repeat(COLUMNS.len() + 1));
        text.push('\n');
        for row in &self.0 {
            let _ = write!(
                text,
                "| {} | {} | {} |",
                row.cell.program,
                row.cell.label(),
                row.way.name()
            );
            for (_, decimals, value) in COLUMNS {
                match median(&row.runs, value) {
                    Some(value) => {
                        let _ = write!(text, " {value:.decimals$} |");
                    }
                    None => text.push_str(" – |"),
                }
            }
            let _ = writeln!(text, " {} |", row.runs.len());
        }
        for row in self.0.iter().filter(|row| row.failure.is_some()) {
            let _ = writeln!(
                text,
                "\n{} {}, {}: failed: {}",
                row.cell.program,
                row.cell.label(),
                row.way.name(),
                row.failure.as_deref().unwrap_or_default()
            );
        }
        let _ = write!(text, "\n{}", self.ratios());
        text
    }

    /// What is promised, as ratios of medians.
    fn ratios(&self) -> String {
        let mut text = "| ratio of freezes | is | aim |\n| --- | ---: | ---: |\n".to_owned();
        let mut line = |what: &str, above: Option<f64>, below: Option<f64>, aim: &str| {
            if let (Some(above), Some(below)) = (above, below) {
                let _ = writeln!(text, "| {what} | {:.2} | {aim} |", above / below);
            }
        };
        for program in [Program::Redis, Program::Pagewriter] {
            let idle = |mebibytes| {
                let found = self.0.iter().find(|row| {
                    row.cell.program == program && row.cell.mebibytes == mebibytes && row.cell.rate == 0
                });
                found.and_then(|row| self.freeze(row.cell, Way::PreCopy))
            };
            line(
                &format!("{program}: 4 GiB idle ÷ 64 MiB idle"),
                idle(4096),
                idle(64),
                "≤ 2.0",
            );
            let dirtied = Cell {
                program,
                mebibytes: 1024,
                rate: 50,
                pattern: Pattern::Uniform,
            };
            line(
                &format!("{program}: 1 GiB, 50 MB/s ÷ 1 GiB idle"),
                self.freeze(dirtied, Way::PreCopy),
                idle(1024),
                "≤ 1.5",
            );
        }
        for row in self.0.iter().filter(|row| row.way == Way::PreCopy) {
            let ahead = self.freeze(row.cell, Way::PreCopy);
            let promised = row.cell.mebibytes >= 1024;
            for other in [Way::StopAndCopy, Way::Floor, Way::Podman] {
                let aim = if promised && other == Way::StopAndCopy {
                    "≤ 0.3"
                } else {
                    ""
                };
                line(
                    &format!("{}: PreCopy ÷ {}", row.cell, other.name()),
                    ahead,
                    self.freeze(row.cell, other),
                    aim,
                );
            }
        }
        text
    }

    /// `memory-benchmark.md` and `memory-benchmark.svg` in a folder.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
        let text = format!(
            "# Benchmark: memory\n\nMade by `cargo e2e {command}`; what is measured and how is in [benchmark.md](benchmark.md). \
             Medians.\n\n![Freezes](memory-benchmark.svg)\n\n{}",
            self.markdown()
        );
        std::fs::write(dir.join("memory-benchmark.md"), text)?;
        std::fs::write(dir.join("memory-benchmark.svg"), self.svg())?;
        Ok(())
    }

    /// The freezes as a picture.
    pub fn svg(&self) -> String {
        let mut groups: Vec<plot::Group> = Vec::new();
        let ways = [Way::PreCopy, Way::StopAndCopy, Way::Floor, Way::Podman];
        for row in &self.0 {
            let label = row.cell.to_string();
            if groups.iter().all(|group| group.label != label) {
                groups.push(plot::Group {
                    label,
                    values: ways.map(|way| self.freeze(row.cell, way)).to_vec(),
                });
            }
        }
        plot::bars("Freeze, ms", &ways.map(Way::name), &groups)
    }
}

fn median(runs: &[Figures], value: fn(&Figures) -> Option<f64>) -> Option<f64> {
    let mut series = Series::default();
    for value in runs.iter().filter_map(value) {
        series.push(value);
    }
    series.median()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> Report {
        let mut report = Report::default();
        for (mebibytes, rate, ahead, stopped) in [
            (64, 0, 100.0, 300.0),
            (4096, 0, 150.0, 9000.0),
            (1024, 50, 140.0, 2000.0),
            (1024, 0, 100.0, 2000.0),
        ] {
            let cell = Cell {
                program: Program::Redis,
                mebibytes,
                rate,
                pattern: Pattern::Uniform,
            };
            for (way, freeze) in [(Way::PreCopy, ahead), (Way::StopAndCopy, stopped)] {
                for offset in [-10.0, 0.0, 20.0] {
                    report.add(
                        cell,
                        way,
                        Figures {
                            freeze_ms: Some(freeze + offset),
                            ..Figures::default()
                        },
                    );
                }
            }
        }
        report
    }

    #[test]
    fn promises_are_ratios_of_medians() {
        let text = filled().markdown();
        assert!(
            text.contains("| Redis: 4 GiB idle ÷ 64 MiB idle | 1.50 | ≤ 2.0 |"),
            "{text}"
        );
        assert!(
            text.contains("| Redis: 1 GiB, 50 MB/s ÷ 1 GiB idle | 1.40 | ≤ 1.5 |"),
            "{text}"
        );
        assert!(
            text.contains("| Redis 1 GiB, idle: PreCopy ÷ Godwit, StopAndCopy | 0.05 | ≤ 0.3 |"),
            "{text}"
        );
    }

    #[test]
    fn a_failure_is_said_and_leaves_no_figure() {
        let mut report = filled();
        let cell = report.0[0].cell;
        report.fails(cell, Way::Podman, "no\n  such thing");
        let text = report.markdown();
        assert!(text.contains("| Redis | 64 MiB, idle | Podman | – |"), "{text}");
        assert!(text.contains("failed: no such thing"), "{text}");
    }
}
