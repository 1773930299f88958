//! Image files as frames of protobuf.

use std::io::Read;
use std::path::Path;

use prost::Message;

use super::{ImageError, MAX_FILE, malformed};

/// `IMG_COMMON_MAGIC` of CRIU's `criu/include/magic.h`: the first word of every image since version 1.1.
const COMMON: u32 = 0x5456_4319;
/// `PSTREE_MAGIC`.
pub(super) const PSTREE: u32 = 0x5027_3030;
/// `PAGEMAP_MAGIC`.
pub(super) const PAGEMAP: u32 = 0x5608_4025;
/// `MM_MAGIC`.
pub(super) const MM: u32 = 0x5749_2820;

/// All bytes of an image file, at most [`MAX_FILE`].
pub(super) fn load(path: &Path) -> Result<Vec<u8>, ImageError> {
    let io = |source| ImageError::Io {
        path: path.to_path_buf(),
        source,
    };
    let file = std::fs::File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(ImageError::TooLarge {
            path: path.to_path_buf(),
        });
    }
    Ok(bytes)
}

/// The frames of an image whose second magic number is `magic`, each borrowed from `bytes`.
pub(super) fn frames<'a>(path: &'a Path, bytes: &'a [u8], magic: u32) -> Result<Frames<'a>, ImageError> {
    let mut rest = bytes;
    if word(&mut rest) != Some(COMMON) || word(&mut rest) != Some(magic) {
        return Err(malformed(path, "its magic numbers are others"));
    }
    Ok(Frames { path, rest })
}

/// One message.
pub(super) fn decode<M: Message + Default>(path: &Path, frame: &[u8]) -> Result<M, ImageError> {
    M::decode(frame).map_err(|source| ImageError::Frame {
        path: path.to_path_buf(),
        source,
    })
}

fn word(rest: &mut &[u8]) -> Option<u32> {
    let (head, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(u32::from_ne_bytes(*head))
}

/// An iterator over frames; ends after the first error.
pub(super) struct Frames<'a> {
    path: &'a Path,
    rest: &'a [u8],
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<&'a [u8], ImageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let frame = word(&mut self.rest)
            .and_then(|length| usize::try_from(length).ok())
            .and_then(|length| self.rest.split_at_checked(length));
        Some(if let Some((frame, rest)) = frame {
            self.rest = rest;
            Ok(frame)
        } else {
            self.rest = &[];
            Err(malformed(self.path, "it ends inside a frame"))
        })
    }
}
