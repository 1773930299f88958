//! A processor in one line, for an annotation of its node: `x86_64;avx,avx2,…;xsave.size=832,…`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Formatter, Result as Formatted};
use std::str::FromStr;

use thiserror::Error;

use super::Cpu;

/// Longest line that is read: a real one has 1 KiB.
const LIMIT: usize = 16 << 10;
/// Longest name in it.
const NAME_LIMIT: usize = 64;

/// The line is of another form.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not the description of a processor that an agent writes")]
pub struct CpuTextError;

impl CpuTextError {
    /// Stable reason.
    pub fn reason(&self) -> &'static str {
        "CpuTextInvalid"
    }
}

impl Display for Cpu {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Formatted {
        let features: Vec<&str> = self.features.iter().map(String::as_str).collect();
        let layout: Vec<String> = self
            .layout
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        write!(
            formatter,
            "{};{};{}",
            self.architecture,
            features.join(","),
            layout.join(",")
        )
    }
}

impl From<Cpu> for String {
    fn from(cpu: Cpu) -> Self {
        cpu.to_string()
    }
}

impl TryFrom<String> for Cpu {
    type Error = CpuTextError;

    fn try_from(text: String) -> Result<Self, CpuTextError> {
        text.parse()
    }
}

impl FromStr for Cpu {
    type Err = CpuTextError;

    fn from_str(text: &str) -> Result<Self, CpuTextError> {
        let parts: Vec<&str> = text.split(';').collect();
        let ([architecture, features, layout], true) = (&parts[..], text.len() <= LIMIT) else {
            return Err(CpuTextError);
        };
        let is_name = |name: &str| {
            let letters = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
            (1..=NAME_LIMIT).contains(&name.len()) && name.chars().all(letters)
        };
        let names = |list: &str| {
            list.split(',')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let features: BTreeSet<String> = names(features).into_iter().collect();
        let layout = names(layout).into_iter().map(|entry| {
            let (name, value) = entry.split_once('=').ok_or(CpuTextError)?;
            Ok((name.to_owned(), value.parse().map_err(|_| CpuTextError)?))
        });
        let layout: BTreeMap<String, u32> = layout.collect::<Result<_, CpuTextError>>()?;
        let names = features.iter().chain(layout.keys()).map(String::as_str);
        if !names.chain([*architecture]).all(is_name) {
            return Err(CpuTextError);
        }
        Ok(Self {
            architecture: (*architecture).to_owned(),
            features,
            layout,
        })
    }
}
