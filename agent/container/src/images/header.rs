//! How an image begins: two little-endian numbers of 32 bits, one that all images share and one of its kind (CRIU's
//! `criu/include/magic.h`).

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::ImageError;

/// The first number of every image except the inventory and raw ones.
const COMMON: u32 = 0x5456_4319;
/// How long a header is, in bytes.
pub(super) const LENGTH: u64 = 8;

/// The kinds of images that are known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// `SysV` shared memory (`IPCNS_SHM_MAGIC`).
    SysvShm,
    /// `SysV` message queues (`IPCNS_MSG_MAGIC`).
    SysvMsg,
    /// `SysV` semaphores (`IPCNS_SEM_MAGIC`).
    SysvSem,
    /// Registers and the like of one thread (`CORE_MAGIC`).
    Core,
    /// All open files (`FILES_MAGIC`).
    Files,
    /// The tree of processes (`PSTREE_MAGIC`).
    Pstree,
}

impl Header {
    fn magic(self) -> u32 {
        match self {
            Self::SysvShm => 0x4628_3044,
            Self::SysvMsg => 0x5545_3737,
            Self::SysvSem => 0x5957_3019,
            Self::Core => 0x5505_3847,
            Self::Files => 0x5630_3138,
            Self::Pstree => 0x5027_3030,
        }
    }
}

/// Checks that the file at `path` begins as an image of this kind.
pub fn check(path: &Path, kind: Header) -> Result<(), ImageError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LENGTH).read_to_end(&mut bytes));
    read.map_err(ImageError::file("read", path))?;
    let wanted = [COMMON.to_le_bytes(), kind.magic().to_le_bytes()].concat();
    if bytes == wanted {
        return Ok(());
    }
    let found = format!("{bytes:02x?}");
    Err(ImageError::NotAnImage {
        path: path.to_owned(),
        found,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart_and_cut_files_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            [0x19, 0x43, 0x56, 0x54, 0x44, 0x30, 0x28, 0x46, 1, 2, 3],
        )
        .unwrap();
        check(file.path(), Header::SysvShm).unwrap();
        let error = check(file.path(), Header::SysvSem).unwrap_err();
        assert_eq!(error.reason(), "ImageInvalid");
        assert!(
            error.to_string().contains("[19, 43, 56, 54, 44, 30, 28, 46]"),
            "{error}"
        );
        for length in 0..8 {
            std::fs::write(
                file.path(),
                &[0x19, 0x43, 0x56, 0x54, 0x44, 0x30, 0x28, 0x46][..length],
            )
            .unwrap();
            assert!(check(file.path(), Header::SysvShm).is_err(), "{length}");
        }
    }
}
