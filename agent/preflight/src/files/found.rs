//! What the destination has in the place of a file of the source, as far as the source is told.

use std::collections::BTreeSet;

use super::{Here, Symbol};

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The same, byte by byte.
    Same,
    /// Another one.
    Differs(Other),
    /// There is no regular file.
    Missing,
    /// One of the two is too large, or cannot be read.
    Incomparable,
}

/// Another file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Other {
    /// Its length in bytes.
    pub size: u64,
    /// The linker's id of its build, if it has one.
    pub build_id: Option<Vec<u8>>,
    /// Whether it is an ELF file.
    pub is_elf: bool,
    /// Which of the symbols that are needed it lacks.
    pub lacks: BTreeSet<Symbol>,
}

impl Found {
    /// Holds this node's file against the source's size and digest (None: not known there), and looks for symbols in it if it differs.
    pub fn of<'a>(
        here: Option<&Here>,
        wanted: Option<(u64, &[u8])>,
        symbols: impl IntoIterator<Item = &'a Symbol>,
    ) -> Self {
        let Some(here) = here else {
            return Self::Missing;
        };
        let (Some(ours), Some((size, digest))) = (&here.content, wanted) else {
            return Self::Incomparable;
        };
        if (ours.size, &ours.digest[..]) == (size, digest) {
            return Self::Same;
        }
        let lacking = symbols.into_iter().filter(|symbol| !here.defines(symbol));
        Self::Differs(Other {
            size: ours.size,
            build_id: ours.build_id.clone(),
            is_elf: here.elf.is_some(),
            lacks: lacking.cloned().collect(),
        })
    }
}
