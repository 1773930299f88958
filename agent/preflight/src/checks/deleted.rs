//! Unlinked files that are open or mapped: those without a name travel in the images up to CRIU's ghost limit, those with another name not at all
//! ("Use link-remap option": it would make files in the pod's directories).

use std::path::Path;

use rustix::fs::FileType;

use super::report::{Place, Report};
use crate::process::descriptor::Kind;

const TOO_BIG: &str = "DeletedFileTooBig";
const OTHER_NAME: &str = "DeletedNameUnsupported";
/// Both.
#[cfg(test)]
pub(super) const NAMES: &[&str] = &[TOO_BIG, OTHER_NAME];
const SUFFIX: &[u8] = b" (deleted)";
/// Shared memory, which has no file: its memory travels.
const MEMORY: [&[u8]; 5] = [
    b"/memfd:",
    b"/SYSV",
    b"/dev/zero",
    b"/anon_hugepage",
    b"/secretmem",
];

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    for descriptor in &place.process.descriptors {
        if let Some(path) = deleted(&descriptor.target) {
            one(place, &path, descriptor.kind, report);
        }
    }
    let mut seen = Vec::new();
    for mapping in &place.process.mappings {
        let Some(path) = deleted(&mapping.name).filter(|_| !seen.contains(&(mapping.device, mapping.inode)))
        else {
            continue;
        };
        seen.push((mapping.device, mapping.inode));
        if let Some(kind) = Kind::of(&mapping.link(&place.process.proc)) {
            one(place, &path, kind, report);
        }
    }
}

fn one(place: &Place<'_>, path: &str, kind: Kind, report: &mut Report) {
    if kind.file_type != FileType::RegularFile {
        return;
    }
    let limit = place.pod.ghost_limit;
    if kind.links > 0 {
        let what = "has a file open by a name that was removed, while the file has another one";
        report.refuse(
            OTHER_NAME,
            place,
            path,
            what,
            "close the file, or remove its other names too",
        );
    } else if kind.stored > limit {
        let object = format!("{path} ({} MiB)", kind.stored >> 20);
        let what = format!("has a deleted file open that is larger than {} MiB", limit >> 20);
        report.refuse(
            TOO_BIG,
            place,
            object,
            &what,
            "let the program close it, or keep it under a name in a volume",
        );
    }
}

/// The name that was removed. The kernel does not say so of a file whose name merely ends like that; then its links tell.
fn deleted(target: &[u8]) -> Option<String> {
    let path = target.strip_suffix(SUFFIX)?;
    let is_memory = MEMORY.iter().any(|name| path.starts_with(name));
    let is_file = Path::new(std::str::from_utf8(&path[..1.min(path.len())]).ok()?).is_absolute();
    (is_file && !is_memory).then(|| String::from_utf8_lossy(path).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_no_deleted_file() {
        assert_eq!(deleted(b"/tmp/x (deleted)").as_deref(), Some("/tmp/x"));
        for target in [
            "/tmp/x",
            "/memfd:x (deleted)",
            "/SYSV00000000 (deleted)",
            "/dev/zero (deleted)",
            "pipe:[7] (deleted)",
            " (deleted)",
        ] {
            assert_eq!(deleted(target.as_bytes()), None, "{target}");
        }
    }
}
