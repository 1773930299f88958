//! What the dynamic linker knows of an ELF file: which versioned symbols it needs of which library, which it defines, and whether it binds at
//! once. 64-bit files only, which is what the platforms here have.

mod image;
mod slots;

use std::collections::{BTreeSet, HashMap};
use std::fs::File;

use object::elf::{self, FileHeader64};
use object::endian::Endianness;
use object::read::elf::{Dyn, FileHeader, ProgramHeader, Rela, SectionHeader, SectionTable, Sym};
use thiserror::Error;

use self::image::Image;
pub(crate) use self::slots::unresolved;

/// Most symbols that are kept of a file: libstdc++ has 6,000, the largest of GPU drivers 30,000.
const MOST: usize = 200_000;
/// Longest name.
const NAME: usize = 4096;

type Header = FileHeader64<Endianness>;

/// Why a file cannot be understood. It still can be compared byte by byte.
#[derive(Debug, Error)]
pub enum ElfError {
    /// It is no ELF file of 64 bits.
    #[error("it is no ELF file of 64 bits")]
    NotElf,
    /// It is one, but what it says does not fit together.
    #[error("it is a broken ELF file")]
    Broken(#[from] object::read::Error),
    /// It could not be read.
    #[error("it cannot be read")]
    Read(#[from] std::io::Error),
}

impl ElfError {
    /// Stable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotElf => "NotElf",
            Self::Broken(_) => "ElfBroken",
            Self::Read(_) => "FileUnreadable",
        }
    }
}

/// A symbol with its version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Symbol {
    /// Its name.
    pub name: String,
    /// Its version; empty: it has none.
    pub version: String,
}

/// A symbol that the file needs of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needed {
    pub(crate) symbol: Symbol,
    /// The library, by its soname.
    pub(crate) library: String,
    /// Where its slot for lazy binding is, in the file's own addresses. None: it was bound when the file was loaded.
    pub(crate) slot: Option<u64>,
}

/// A part of the file that is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// The file, as far as it matters.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Elf {
    pub(crate) soname: Option<String>,
    pub(crate) build_id: Option<Vec<u8>>,
    /// Every symbol is bound when the file is loaded (`DF_BIND_NOW`, `DF_1_NOW`, `DT_BIND_NOW`).
    pub(crate) binds_now: bool,
    pub(crate) needed: Vec<Needed>,
    pub(crate) defined: BTreeSet<Symbol>,
    /// Whether its definitions have versions at all: the linker takes any symbol of the name from a library without.
    pub(crate) has_versions: bool,
    pub(crate) loads: Vec<Load>,
}

impl Elf {
    /// Reads it: headers and the tables of the dynamic linker, in all 64 MiB at most.
    pub(crate) fn read(file: &File) -> Result<Self, ElfError> {
        Self::parse(&Image::read(file)?)
    }

    fn parse(image: &Image) -> Result<Self, ElfError> {
        let header = Header::parse(image)?;
        let endian = header.endian()?;
        let sections = header.sections(endian, image)?;
        let mut this = Self::default();
        for segment in header.program_headers(endian, image)? {
            if segment.p_type(endian) == elf::PT_LOAD {
                this.loads.push(Load {
                    address: segment.p_vaddr(endian),
                    offset: segment.p_offset(endian),
                    size: segment.p_memsz(endian),
                });
            }
            if let Ok(Some(notes)) = segment.notes(endian, image) {
                this.build_id = this.build_id.or_else(|| build_id(notes, endian));
            }
        }
        this.symbols(image, &sections, endian)?;
        Ok(this)
    }

    fn symbols<'a>(
        &mut self,
        image: &'a Image,
        sections: &SectionTable<'a, Header, &'a Image>,
        endian: Endianness,
    ) -> Result<(), ElfError> {
        let symbols = sections.symbols(endian, image, elf::SHT_DYNSYM)?;
        let versions = sections.versions(endian, image)?;
        self.has_versions = sections.gnu_verdef(endian, image)?.is_some();
        let slots = self.dynamic(image, sections, endian)?;
        for (index, symbol) in symbols.enumerate().take(MOST) {
            let Ok(name) = symbol.name(endian, symbols.strings()) else {
                continue;
            };
            let Some(name) = text(name) else {
                continue;
            };
            let version = match &versions {
                Some(versions) => versions.version(versions.version_index(endian, index))?,
                None => None,
            };
            let version_name = version
                .and_then(|version| text(version.name()))
                .unwrap_or_default();
            let found = Symbol {
                name,
                version: version_name,
            };
            let is_defined = symbol.st_shndx(endian) != elf::SHN_UNDEF;
            if is_defined && symbol.st_bind() != elf::STB_LOCAL {
                self.defined.insert(found);
            } else if let Some(library) = version.and_then(|version| text(version.file()?)) {
                let slot = slots.get(&index.0).copied();
                self.needed.push(Needed {
                    symbol: found,
                    library,
                    slot,
                });
            }
        }
        Ok(())
    }

    /// What `.dynamic` says; gives the slots for lazy binding: number of the symbol, and address.
    fn dynamic<'a>(
        &mut self,
        image: &'a Image,
        sections: &SectionTable<'a, Header, &'a Image>,
        endian: Endianness,
    ) -> Result<HashMap<usize, u64>, ElfError> {
        let Some((entries, strings)) = sections.dynamic(endian, image)? else {
            return Ok(HashMap::new());
        };
        let strings = sections.strings(endian, image, strings)?;
        let mut table = None;
        for entry in entries {
            let value = entry.d_val(endian);
            match entry.d_tag(endian) {
                elf::DT_NULL => break,
                elf::DT_SONAME => {
                    let at = u32::try_from(value).unwrap_or(u32::MAX);
                    self.soname = strings.get(at).ok().and_then(text);
                }
                elf::DT_BIND_NOW => self.binds_now = true,
                elf::DT_FLAGS => self.binds_now |= value & u64::from(elf::DF_BIND_NOW) != 0,
                elf::DT_FLAGS_1 => self.binds_now |= value & u64::from(elf::DF_1_NOW) != 0,
                elf::DT_JMPREL => table = Some(value),
                _ => {}
            }
        }
        let mut all = sections.iter();
        let section = all.find(|section| {
            section.sh_type(endian) == elf::SHT_RELA && Some(section.sh_addr(endian)) == table
        });
        let relocations = match section {
            Some(section) => section
                .rela(endian, image)?
                .map_or(&[][..], |(relocations, _)| relocations),
            None => &[],
        };
        let slots = relocations.iter().take(MOST).map(|relocation| {
            let symbol = usize::try_from(relocation.r_sym(endian, false)).unwrap_or(usize::MAX);
            (symbol, relocation.r_offset(endian))
        });
        Ok(slots.collect())
    }

    /// Whether a program that needs this symbol finds it here.
    pub(crate) fn defines(&self, symbol: &Symbol) -> bool {
        if self.has_versions {
            self.defined.contains(symbol)
        } else {
            // Versions of one name are beside each other.
            let first = Symbol {
                name: symbol.name.clone(),
                version: String::new(),
            };
            self.defined
                .range(first..)
                .next()
                .is_some_and(|found| found.name == symbol.name)
        }
    }
}

fn build_id(mut notes: object::read::elf::NoteIterator<'_, Header>, endian: Endianness) -> Option<Vec<u8>> {
    while let Ok(Some(note)) = notes.next() {
        if note.name() == elf::ELF_NOTE_GNU && note.n_type(endian) == elf::NT_GNU_BUILD_ID {
            return Some(note.desc().iter().copied().take(64).collect());
        }
    }
    None
}

fn text(bytes: &[u8]) -> Option<String> {
    let bounded = !bytes.is_empty() && bytes.len() <= NAME;
    bounded
        .then(|| std::str::from_utf8(bytes).ok().map(str::to_owned))
        .flatten()
}

#[cfg(test)]
mod tests;
