//! Slots of `.got.plt` in a process: as long as a symbol is not bound, its slot leads back into the object's own procedure linkage table, which asks
//! the dynamic linker (`_dl_runtime_resolve`). Afterwards it leads to another object.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{Elf, Needed};
use crate::process::mapping::Mapping;

/// Page size that is smallest on all platforms: offsets of segments are only compared down to it.
const PAGE: u64 = 4096;

/// Those of `needed`, symbols that `elf` needs, whose slot is not bound yet in the process; `mappings` are those of this object there. Empty if
/// nothing can be said.
pub(crate) fn unresolved<'a>(
    process: &Path,
    elf: &Elf,
    mappings: &[&Mapping],
    needed: &[&'a Needed],
) -> Vec<&'a Needed> {
    let (Some(base), Ok(memory)) = (base(elf, mappings), File::open(process.join("mem"))) else {
        return Vec::new();
    };
    let waiting = needed.iter().copied().filter(|needed| {
        let slot = needed
            .slot
            .and_then(|slot| read(&memory, base.checked_add(slot)?));
        slot.is_some_and(|value| leads_back(elf, base, value))
    });
    waiting.collect()
}

/// How far from its own addresses the object is loaded.
fn base(elf: &Elf, mappings: &[&Mapping]) -> Option<u64> {
    let first = elf.loads.first()?;
    let down = |value: u64| value - value % PAGE;
    let mapping = mappings
        .iter()
        .find(|mapping| mapping.offset == down(first.offset))?;
    mapping.start.checked_sub(down(first.address))
}

fn read(memory: &File, address: u64) -> Option<u64> {
    let mut value = [0; 8];
    memory.read_exact_at(&mut value, address).ok()?;
    Some(u64::from_ne_bytes(value))
}

/// The symbol is another object's, so only an unbound slot can lead into this one.
fn leads_back(elf: &Elf, base: u64, value: u64) -> bool {
    let Some(own) = value.checked_sub(base) else {
        return false;
    };
    elf.loads
        .iter()
        .any(|load| own >= load.address && own - load.address < load.size)
}
