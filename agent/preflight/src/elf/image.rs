//! The parts of an ELF file that are wanted, in memory: a driver's library may have hundreds of MiB, its tables have few.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use object::elf::{self, FileHeader64};
use object::endian::Endianness;
use object::read::ReadRef;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

use super::ElfError;

/// Largest single table.
const TABLE: u64 = 32 << 20;
/// All of them.
const ALL: u64 = 64 << 20;
/// Of an ELF header.
const HEADER: u64 = 64;
/// Most parts that are kept: an object has a dozen.
const PARTS: usize = 64;

/// Bytes of the file, by offset.
#[derive(Debug, Default)]
pub(super) struct Image {
    length: u64,
    parts: Vec<(u64, Vec<u8>)>,
    left: u64,
}

impl Image {
    pub(super) fn read(file: &File) -> Result<Self, ElfError> {
        let mut image = Self {
            length: file.metadata()?.len(),
            parts: Vec::new(),
            left: ALL,
        };
        image.take(file, 0, HEADER)?;
        let [segments, sections] = image.tables()?;
        for (offset, size) in [segments, sections] {
            image.take(file, offset, size)?;
        }
        for (offset, size) in image.wanted()? {
            image.take(file, offset, size)?;
        }
        Ok(image)
    }

    /// Where the headers of segments and sections are.
    fn tables(&self) -> Result<[(u64, u64); 2], ElfError> {
        let header = FileHeader64::<Endianness>::parse(self).map_err(|_| ElfError::NotElf)?;
        let endian = header.endian().map_err(|_| ElfError::NotElf)?;
        let table = |offset: u64, count: u16, size: u16| (offset, u64::from(count) * u64::from(size));
        Ok([
            table(
                header.e_phoff(endian),
                header.e_phnum(endian),
                header.e_phentsize(endian),
            ),
            table(
                header.e_shoff(endian),
                header.e_shnum(endian),
                header.e_shentsize(endian),
            ),
        ])
    }

    /// Where what the dynamic linker reads is.
    fn wanted(&self) -> Result<Vec<(u64, u64)>, ElfError> {
        let header = FileHeader64::<Endianness>::parse(self)?;
        let endian = header.endian()?;
        let mut wanted = Vec::new();
        for segment in header.program_headers(endian, self)? {
            if segment.p_type(endian) == elf::PT_NOTE {
                wanted.push((segment.p_offset(endian), segment.p_filesz(endian)));
            }
        }
        for section in header.section_headers(endian, self)? {
            let is_wanted = match section.sh_type(endian) {
                elf::SHT_DYNSYM
                | elf::SHT_DYNAMIC
                | elf::SHT_GNU_VERSYM
                | elf::SHT_GNU_VERDEF
                | elf::SHT_GNU_VERNEED => true,
                // Names of symbols are loaded with the program, those of a debugger are not.
                elf::SHT_STRTAB | elf::SHT_RELA => section.sh_flags(endian) & u64::from(elf::SHF_ALLOC) != 0,
                _ => false,
            };
            if is_wanted {
                wanted.push((section.sh_offset(endian), section.sh_size(endian)));
            }
        }
        wanted.truncate(PARTS);
        Ok(wanted)
    }

    /// Keeps these bytes. What does not fit is left out, and then missing when it is asked for.
    fn take(&mut self, file: &File, offset: u64, size: u64) -> Result<(), ElfError> {
        let fits =
            size <= TABLE.min(self.left) && offset.checked_add(size).is_some_and(|end| end <= self.length);
        if size == 0 || !fits {
            return Ok(());
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        file.read_exact_at(&mut bytes, offset)?;
        self.left -= size;
        self.parts.push((offset, bytes));
        Ok(())
    }

    /// The bytes from `offset` to the end of a part that has it.
    fn from(&self, offset: u64, size: u64) -> Result<&[u8], ()> {
        let size = usize::try_from(size).map_err(drop)?;
        let mut found = self.parts.iter().filter_map(|(start, bytes)| {
            let at = usize::try_from(offset.checked_sub(*start)?).ok()?;
            bytes.get(at..).filter(|rest| rest.len() >= size)
        });
        found.next().ok_or(())
    }
}

impl<'a> ReadRef<'a> for &'a Image {
    fn len(self) -> Result<u64, ()> {
        Ok(self.length)
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        if size == 0 {
            return Ok(&[]);
        }
        let size_here = usize::try_from(size).map_err(drop)?;
        self.from(offset, size)?.get(..size_here).ok_or(())
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        let most = usize::try_from(range.end.checked_sub(range.start).ok_or(())?).map_err(drop)?;
        let rest = self.from(range.start, 1)?;
        let rest = &rest[..rest.len().min(most)];
        let end = rest.iter().position(|&byte| byte == delimiter).ok_or(())?;
        Ok(&rest[..end])
    }
}
