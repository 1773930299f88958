//! CRIU's own statistics: `stats-dump` and `stats-restore` in its work directory.
//!
//! Two 32-bit magic numbers, a 32-bit length, one protobuf message (`stats.proto` of CRIU 4): field 1 holds the dump's
//! numbers, field 2 the restore's, all of them varints.

use std::collections::BTreeMap;

/// What a dump says of itself, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CriuDump {
    /// Time in which the tasks stood still.
    pub frozen_us: u64,
    /// Finding the pages, moving them into pipes.
    pub memdump_us: u64,
    /// Writing the pages into the image.
    pub memwrite_us: u64,
}

/// What a restore says of itself, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CriuRestore {
    /// Making the processes.
    pub forking_us: u64,
    /// All of it.
    pub restore_us: u64,
}

/// Reads `stats-dump`; `None` if it is no such file.
pub fn dump(bytes: &[u8]) -> Option<CriuDump> {
    let fields = entry(bytes, 1)?;
    let field = |number| fields.get(&number).copied().unwrap_or(0);
    Some(CriuDump {
        frozen_us: field(2),
        memdump_us: field(3),
        memwrite_us: field(4),
    })
}

/// Reads `stats-restore`; `None` if it is no such file.
pub fn restore(bytes: &[u8]) -> Option<CriuRestore> {
    let fields = entry(bytes, 2)?;
    let field = |number| fields.get(&number).copied().unwrap_or(0);
    Some(CriuRestore {
        forking_us: field(3),
        restore_us: field(4),
    })
}

fn entry(bytes: &[u8], wanted: u64) -> Option<BTreeMap<u64, u64>> {
    let length = u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?);
    let mut message = bytes.get(12..12 + usize::try_from(length).ok()?)?;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        if key & 7 != 2 {
            return None;
        }
        let length = usize::try_from(varint(&mut message)?).ok()?;
        let (mut body, rest) = message.split_at_checked(length)?;
        message = rest;
        if key >> 3 == wanted {
            let mut fields = BTreeMap::new();
            while !body.is_empty() {
                let key = varint(&mut body)?;
                if key & 7 != 0 {
                    return None;
                }
                fields.insert(key >> 3, varint(&mut body)?);
            }
            return Some(fields);
        }
    }
    None
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_dump() {
        // field 1: { 1: 5, 2: 300, 3: 7, 4: 9 }
        let message = [0x0a, 9, 0x08, 5, 0x10, 0xac, 0x02, 0x18, 7, 0x20, 9];
        let mut bytes = vec![0; 8];
        bytes.extend(u32::try_from(message.len()).unwrap().to_le_bytes());
        bytes.extend(message);
        assert_eq!(
            dump(&bytes),
            Some(CriuDump {
                frozen_us: 300,
                memdump_us: 7,
                memwrite_us: 9
            })
        );
        assert_eq!(restore(&bytes), None);
        for length in 0..bytes.len() {
            assert_eq!(dump(&bytes[..length]), None, "cut at {length}");
        }
    }
}
