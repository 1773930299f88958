use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

/// A library that this program is linked with, by the beginning of its name.
fn library(name: &str) -> PathBuf {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut paths = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]));
    let found = paths.find(|path| path.rsplit('/').next().is_some_and(|file| file.starts_with(name)));
    PathBuf::from(found.unwrap_or_else(|| panic!("{name} is not linked")))
}

#[test]
fn the_c_library_is_understood() {
    let elf = Elf::read(&File::open(library("libc.so")).unwrap()).unwrap();
    assert_eq!(elf.soname.as_deref(), Some("libc.so.6"));
    assert!(elf.has_versions && !elf.loads.is_empty());
    assert!(elf.build_id.as_ref().is_some_and(|id| id.len() >= 8));
    let versions: Vec<&Symbol> = elf
        .defined
        .iter()
        .filter(|symbol| symbol.name == "malloc")
        .collect();
    let [malloc] = versions[..] else {
        panic!("{versions:?}");
    };
    assert!(malloc.version.starts_with("GLIBC_2."));
    assert!(elf.defines(malloc));
    let other = |name: &str, version: &str| Symbol {
        name: name.into(),
        version: version.into(),
    };
    assert!(!elf.defines(&other("malloc", "GLIBC_9.9")));
    assert!(!elf.defines(&other("no_such_function", &malloc.version)));
}

#[test]
fn a_library_without_versions_defines_any_of_the_name() {
    let symbol = |name: &str, version: &str| Symbol {
        name: name.into(),
        version: version.into(),
    };
    let mut elf = Elf {
        defined: BTreeSet::from([symbol("b", ""), symbol("d", "")]),
        ..Elf::default()
    };
    for (name, defined) in [("a", false), ("b", true), ("c", false), ("d", true), ("e", false)] {
        assert_eq!(elf.defines(&symbol(name, "V_1")), defined, "{name}");
    }
    elf.has_versions = true;
    assert!(!elf.defines(&symbol("b", "V_1")));
}

#[test]
fn what_this_program_needs_of_the_c_library_is_there() {
    let own = Elf::read(&File::open("/proc/self/exe").unwrap()).unwrap();
    let libc = Elf::read(&File::open(library("libc.so")).unwrap()).unwrap();
    let needed: Vec<&Needed> = own
        .needed
        .iter()
        .filter(|needed| needed.library == "libc.so.6")
        .collect();
    assert!(needed.len() > 20, "{needed:?}");
    for needed in needed {
        assert!(libc.defines(&needed.symbol), "{needed:?}");
    }
}

#[test]
fn what_is_no_elf_file_is_told() {
    for content in [&b""[..], b"#!/bin/sh\n", b"\x7fELF", &[0x7f; 4096]] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        assert!(Elf::read(&file).is_err(), "{content:?}");
    }
    assert_eq!(ElfError::NotElf.reason(), "NotElf");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever a file says, reading it ends without harm.
    #[test]
    fn broken_files_do_no_harm(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<[u8; 8]>(), any::<bool>()), 1..24),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let bytes = std::fs::read(library("libgcc_s")).unwrap();
        let header = bytes.len() - 64 * 40;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        for (at, value, in_tables) in changes {
            // Half of them where the tables are described: at the beginning and at the end.
            let at = match at.index(bytes.len() - 8) {
                at if !in_tables => at,
                at if at % 2 == 0 => at % 1024,
                at => header + at % (64 * 40 - 8),
            };
            file.seek(SeekFrom::Start(at as u64)).unwrap();
            file.write_all(&value).unwrap();
        }
        if let Some(cut) = cut {
            file.set_len(cut.index(bytes.len()) as u64).unwrap();
        }
        if let Ok(elf) = Elf::read(&file) {
            prop_assert!(elf.needed.len() <= MOST && elf.defined.len() <= MOST);
        }
    }
}
