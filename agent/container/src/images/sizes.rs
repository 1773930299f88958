//! How long each open file was: CRIU refuses to restore a file that has another length by then ("has bad size", `validate_file` in criu/files-reg.c). On a file system
//! that other nodes write to as well, that says nothing.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field,
};

use super::header::{self, Header};
use super::{ImageError, check};
use crate::bounded;

/// Where CRIU says which files are open or mapped.
const FILES: &str = "files.img";
/// A million open files are some 200 MB.
const LIMIT: usize = 256 << 20;
/// `reg` of a `file_entry` (images/fdinfo.proto).
const REGULAR: u32 = 3;
/// `name` of a `reg_file_entry` (images/regfile.proto).
const NAME: u32 = 6;
/// Its `size`, `build_id`, `checksum`, `checksum_config` and `checksum_parameter`: all by which CRIU tells another file.
const CONTENT: [u32; 5] = [8, 11, 12, 13, 14];

/// Takes what CRIU noted of their content from the entries of files below one of these directories, as the container sees them; gives how many there are. Nothing is changed
/// if the image is not what its name says.
pub fn forget_sizes(image_dir: &Path, below: &[PathBuf]) -> Result<usize, ImageError> {
    let path = image_dir.join(FILES);
    check(&path, Header::Files)?;
    let bytes = bounded::read(&path, LIMIT).map_err(ImageError::file("read", &path))?;
    let malformed = || ImageError::Malformed { path: path.clone() };
    let start = usize::try_from(header::LENGTH).unwrap_or(0);
    let (mut out, mut rest) = bytes
        .split_at_checked(start)
        .map_or_else(|| Err(malformed()), |(magic, rest)| Ok((magic.to_vec(), rest)))?;
    let mut count = 0;
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (record, after) = after.split_at_checked(length).ok_or_else(malformed)?;
        let record = without_content(record, below).ok_or_else(malformed)?;
        count += usize::from(matches!(record, Cow::Owned(_)));
        out.extend(
            u32::try_from(record.len())
                .map_err(|_| malformed())?
                .to_le_bytes(),
        );
        out.extend(record.iter());
        rest = after;
    }
    if !rest.is_empty() {
        return Err(malformed());
    }
    if count > 0 {
        std::fs::write(&path, out).map_err(ImageError::file("write", &path))?;
    }
    Ok(count)
}

/// The entry, without what is known of the file's content if it is one of those files; `None` if it cannot be read.
fn without_content<'a>(entry: &'a [u8], below: &[PathBuf]) -> Option<Cow<'a, [u8]>> {
    let outer = fields(entry)?;
    let Some(regular) = outer.iter().find(|field| field.number == REGULAR) else {
        return Some(Cow::Borrowed(entry));
    };
    let inner = fields(regular.content)?;
    let is_one = inner
        .iter()
        .find(|field| field.number == NAME)
        .and_then(|field| std::str::from_utf8(field.content).ok())
        .is_some_and(|name| below.iter().any(|path| Path::new(name).starts_with(path)));
    if !is_one {
        return Some(Cow::Borrowed(entry));
    }
    let kept: Vec<u8> = inner
        .iter()
        .filter(|field| !CONTENT.contains(&field.number))
        .flat_map(|field| field.whole)
        .copied()
        .collect();
    let mut out = Vec::with_capacity(entry.len());
    for field in &outer {
        if field.number == REGULAR {
            encode_key(REGULAR, WireType::LengthDelimited, &mut out);
            encode_varint(kept.len() as u64, &mut out);
            out.extend(&kept);
        } else {
            out.extend(field.whole);
        }
    }
    Some(Cow::Owned(out))
}

/// One field of a message as it is on the wire (protobuf.dev, "Encoding").
struct Field<'a> {
    number: u32,
    /// What it holds, if that has a length; else nothing.
    content: &'a [u8],
    /// Tag and all.
    whole: &'a [u8],
}

/// All fields of a message, in order; `None` if it is cut off or none.
fn fields(message: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut found = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let from = rest;
        let (number, kind) = decode_key(&mut rest).ok()?;
        let content: &[u8] = match kind {
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
                rest.split_off(..length)?
            }
            // CRIU's messages have none.
            WireType::StartGroup | WireType::EndGroup => return None,
            _ => {
                skip_field(kind, number, &mut rest, DecodeContext::default()).ok()?;
                &[]
            }
        };
        found.push(Field {
            number,
            content,
            whole: &from[..from.len() - rest.len()],
        });
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(forget_sizes(dir.path(), &["/shared".into()]).unwrap(), 1);
        let wanted = image(&[entry("/shared/log", &[]), pipe, own]);
        assert_eq!(std::fs::read(&path).unwrap(), wanted);
        assert_eq!(forget_sizes(dir.path(), &["/elsewhere".into()]).unwrap(), 0);
        assert_eq!(std::fs::read(&path).unwrap(), wanted);
    }

    #[test]
    fn what_is_cut_off_is_refused_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILES);
        let whole = image(&[entry("/shared/log", &SIZE)]);
        for length in MAGIC.len() + 1..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = forget_sizes(dir.path(), &["/shared".into()]).unwrap_err();
            assert_eq!(error.reason(), "ImageInvalid");
            assert_eq!(std::fs::read(&path).unwrap(), &whole[..length]);
        }
    }

    #[test]
    fn fields_of_any_number_are_taken_whole_and_what_is_cut_off_is_none() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut message = vec![0x08];
            encode_varint(value, &mut message);
            let found = fields(&message).unwrap();
            assert_eq!((found.len(), found[0].number, found[0].whole), (1, 1, &*message));
        }
        for broken in [
            &[0x08, 0x80, 0x80, 0x80][..],
            &[0x0b, 0x0c],
            &[0x0a, 3, 1, 2],
            &[0x09, 1, 2],
        ] {
            assert!(fields(broken).is_none(), "{broken:?}");
        }
    }
}
