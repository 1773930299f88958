//! The ways to move memory, and what each has cost.

use clap::ValueEnum;

/// A way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// Godwit, memory copied ahead of the freeze.
    PreCopy,
    /// Godwit, memory copied in the freeze.
    StopAndCopy,
    /// runc by hand, within one node.
    Floor,
    /// `podman container checkpoint --export` and `restore --import`, within one machine.
    Podman,
}

impl Way {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreCopy => "Godwit, PreCopy",
            Self::StopAndCopy => "Godwit, StopAndCopy",
            Self::Floor => "runc by hand",
            Self::Podman => "Podman",
        }
    }
}

/// What one move has cost. What a way does not have, or what could not be measured, is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// Milliseconds in which the program stood still.
    pub freeze_ms: Option<f64>,
    /// Milliseconds: the largest time between two answers, at a client.
    pub gap_ms: Option<f64>,
    /// Milliseconds from the request to the end.
    pub total_ms: Option<f64>,
    /// MiB sent, or written into the archive.
    pub sent_mib: Option<f64>,
    /// The program's throughput while memory was copied, in percent of what it was before.
    pub copy_percent: Option<f64>,
    /// The same in the first second after the freeze.
    pub fill_percent: Option<f64>,
    /// MiB: the most that agents and page servers of both nodes had at once (RSS).
    pub agents_mib: Option<f64>,
    /// MiB: the most by which Godwit's files in memory grew, on both nodes together.
    pub files_mib: Option<f64>,
}
