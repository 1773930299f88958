//! The entries of the image in which CRIU says which files of any kind are open or mapped, on the wire of protocol buffers.

use std::borrow::Cow;
use std::path::Path;

use godwit_proc::bounded;
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field,
};

use super::header::{self, Header};
use super::{ImageError, check};

/// The image.
pub(super) const FILES: &str = "files.img";
/// A million open files are some 200 MB.
const LIMIT: usize = 256 << 20;

/// Writes each entry anew as `change` gives it: owned if it is another one; gives how many are. `None` is for what cannot be read, and then nothing
/// is changed, as if the image is not what its name says.
pub(super) fn rewrite(
    image_dir: &Path,
    change: impl for<'a> Fn(&'a [u8]) -> Option<Cow<'a, [u8]>>,
) -> Result<usize, ImageError> {
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
        let record = change(record).ok_or_else(malformed)?;
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

/// The entry with the message in its field `number` as `change` gives it. `change` gives nothing where that is to stay as it is, and so stays an
/// entry without such a field; `None` if one of the two messages cannot be read, or `change` says so.
pub(super) fn with_inner<'a>(
    entry: &'a [u8],
    number: u32,
    change: impl FnOnce(&[Field<'a>]) -> Option<Option<Vec<u8>>>,
) -> Option<Cow<'a, [u8]>> {
    let outer = fields(entry)?;
    let Some(inner) = outer.iter().find(|field| field.number == number) else {
        return Some(Cow::Borrowed(entry));
    };
    let Some(changed) = change(&fields(inner.content)?)? else {
        return Some(Cow::Borrowed(entry));
    };
    let mut out = Vec::with_capacity(entry.len());
    for field in &outer {
        if field.number == number {
            encode_key(number, WireType::LengthDelimited, &mut out);
            encode_varint(changed.len() as u64, &mut out);
            out.extend(&changed);
        } else {
            out.extend(field.whole);
        }
    }
    Some(Cow::Owned(out))
}

/// The fields of a message but for those of these numbers, as they are on the wire.
pub(super) fn without(message: &[Field<'_>], numbers: &[u32]) -> Vec<u8> {
    let kept = message.iter().filter(|field| !numbers.contains(&field.number));
    kept.flat_map(|field| field.whole).copied().collect()
}

/// One field of a message as it is on the wire (protobuf.dev, "Encoding").
pub(super) struct Field<'a> {
    pub(super) number: u32,
    /// What it holds, if that has a length; else nothing.
    pub(super) content: &'a [u8],
    /// Tag and all.
    pub(super) whole: &'a [u8],
}

/// All fields of a message, in order; `None` if it is cut off or none.
pub(super) fn fields(message: &[u8]) -> Option<Vec<Field<'_>>> {
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
    use prost::encoding::encode_varint;

    use super::*;

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
