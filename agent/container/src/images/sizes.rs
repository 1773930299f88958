//! How long each open file was: CRIU refuses to restore a file that has another length by then ("has bad size", `validate_file` in criu/files-reg.c). On a file system
//! that other nodes write to as well, that says nothing.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::entries::{with_inner, without};

/// `reg` of a `file_entry` (images/fdinfo.proto).
const REGULAR: u32 = 3;
/// `name` of a `reg_file_entry` (images/regfile.proto).
const NAME: u32 = 6;
/// Its `size`, `build_id`, `checksum`, `checksum_config` and `checksum_parameter`: all by which CRIU tells another file.
const CONTENT: [u32; 5] = [8, 11, 12, 13, 14];

/// The entry, without what CRIU noted of the file's content if it is of a file below one of these paths, as the container sees them; `None` if it
/// cannot be read.
pub(super) fn without_content<'a>(entry: &'a [u8], below: &[PathBuf]) -> Option<Cow<'a, [u8]>> {
    if below.is_empty() {
        return Some(Cow::Borrowed(entry));
    }
    with_inner(entry, REGULAR, |file| {
        let name = file.iter().find(|field| field.number == NAME);
        let name = name.and_then(|field| std::str::from_utf8(field.content).ok());
        let is_one = name.is_some_and(|name| below.iter().any(|path| Path::new(name).starts_with(path)));
        Some(is_one.then(|| without(file, &CONTENT)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::entries::FILES;
    use super::super::mend_files;

    const MAGIC: [u8; 8] = [0x19, 0x43, 0x56, 0x54, 0x38, 0x31, 0x30, 0x56];

    /// An entry of a regular file with a size of 300 bytes and a position.
    fn entry(name: &str, size: &[u8]) -> Vec<u8> {
        let mut regular = vec![0x08, 5, 0x10, 0, 0x18, 0xac, 0x02, 0x2a, 2, 0x08, 1];
        regular.extend([0x32, u8::try_from(name.len()).unwrap()]);
        regular.extend(name.as_bytes());
        regular.extend(size);
        regular.extend([0x50, 0xa4, 0x03]);
        let mut out = vec![0x08, 1, 0x10, 5, 0x1a, u8::try_from(regular.len()).unwrap()];
        out.extend(regular);
        out
    }

    fn image(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for entry in entries {
            out.extend(u32::try_from(entry.len()).unwrap().to_le_bytes());
            out.extend(entry);
        }
        out
    }

    const SIZE: [u8; 3] = [0x40, 0xac, 0x02];

    #[test]
    fn only_files_below_these_directories_lose_their_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILES);
        let pipe = vec![0x08, 7, 0x10, 9];
        let own = entry("/sharedness", &SIZE);
        std::fs::write(
            &path,
            image(&[entry("/shared/log", &SIZE), pipe.clone(), own.clone()]),
        )
        .unwrap();
        assert_eq!(mend_files(dir.path(), &["/shared".into()]).unwrap(), 1);
        let wanted = image(&[entry("/shared/log", &[]), pipe, own]);
        assert_eq!(std::fs::read(&path).unwrap(), wanted);
        assert_eq!(mend_files(dir.path(), &["/elsewhere".into()]).unwrap(), 0);
        assert_eq!(std::fs::read(&path).unwrap(), wanted);
    }

    #[test]
    fn what_is_cut_off_is_refused_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILES);
        let whole = image(&[entry("/shared/log", &SIZE)]);
        for length in MAGIC.len() + 1..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = mend_files(dir.path(), &["/shared".into()]).unwrap_err();
            assert_eq!(error.reason(), "ImageInvalid");
            assert_eq!(std::fs::read(&path).unwrap(), &whole[..length]);
        }
    }
}
