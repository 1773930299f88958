//! What is moved.

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::images;

/// A program whose memory is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Program {
    /// Redis, filled and written to over the network.
    Redis,
    /// `pagewriter`, which fills and writes its memory itself and knows what should be in it.
    Pagewriter,
}

/// Which pages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pattern {
    /// Any page is as likely as any other.
    Uniform,
    /// Nine of ten writes go to one tenth.
    Hot,
    /// One after the other.
    Append,
}

/// One of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// What is moved.
    pub program: Program,
    /// Its memory, in MiB.
    pub mebibytes: u32,
    /// Written in a second, in MB.
    pub rate: u32,
    /// Where.
    pub pattern: Pattern,
}

impl Pattern {
    /// As `pagewriter` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Hot => "hot",
            Self::Append => "append",
        }
    }
}

impl std::fmt::Display for Program {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Redis => "Redis",
            Self::Pagewriter => "pagewriter",
        })
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.program, self.label())
    }
}

impl Cell {
    /// Without the program: `1 GiB, 50 MB/s hot`.
    pub fn label(&self) -> String {
        let size = if self.mebibytes.is_multiple_of(1024) {
            format!("{} GiB", self.mebibytes / 1024)
        } else {
            format!("{} MiB", self.mebibytes)
        };
        match (self.rate, self.pattern) {
            (0, _) => format!("{size}, idle"),
            (rate, pattern) => format!("{size}, {rate} MB/s {}", pattern.name()),
        }
    }

    /// The image.
    pub fn image(&self) -> &'static str {
        match self.program {
            Program::Redis => images::redis::IMAGE,
            Program::Pagewriter => images::workload::IMAGE,
        }
    }

    /// What is to be filled in from outside, in MiB.
    pub fn fill(&self) -> u32 {
        match self.program {
            Program::Redis => self.mebibytes,
            Program::Pagewriter => 0,
        }
    }

    /// The program with its arguments; none: the image's own.
    pub fn command(&self) -> Vec<String> {
        match self.program {
            Program::Redis => Vec::new(),
            Program::Pagewriter => vec![
                "/usr/bin/pagewriter".to_owned(),
                "6379".to_owned(),
                format!("memory={}M", self.mebibytes),
                format!("rate={}", u64::from(self.rate) * 1_000_000),
                format!("pattern={}", self.pattern.name()),
                "threads=1".to_owned(),
                "look=200".to_owned(),
            ],
        }
    }

    /// A container of a pod.
    pub fn container(&self) -> Value {
        let limit = format!("{}Mi", self.mebibytes * 2 + 512);
        let mut container = json!({
            "name": "main", "image": self.image(), "imagePullPolicy": "Never",
            "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": limit}},
        });
        let command = self.command();
        if !command.is_empty() {
            container["command"] = json!(command);
        }
        container
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_labels() {
        let cell = Cell {
            program: Program::Redis,
            mebibytes: 4096,
            rate: 0,
            pattern: Pattern::Hot,
        };
        assert_eq!(cell.to_string(), "Redis 4 GiB, idle");
        let cell = Cell {
            program: Program::Pagewriter,
            mebibytes: 64,
            rate: 50,
            ..cell
        };
        assert_eq!(cell.label(), "64 MiB, 50 MB/s hot");
        assert!(cell.command().contains(&"rate=50000000".to_owned()));
    }
}
