//! CRIU's own statistics: `stats-dump` and `stats-restore` in its work directory.
//!
//! Two 32-bit magic numbers, a 32-bit length, one protobuf message (`images/stats.proto` of CRIU 4).

use prost::Message;

#[derive(Message)]
struct Stats {
    #[prost(message, optional, tag = "1")]
    dump: Option<CriuDump>,
    #[prost(message, optional, tag = "2")]
    restore: Option<CriuRestore>,
}

/// What a dump says of itself, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct CriuDump {
    /// Time in which the tasks stood still.
    #[prost(uint32, tag = "2")]
    pub frozen_us: u32,
    /// Finding the pages, moving them into pipes.
    #[prost(uint32, tag = "3")]
    pub memdump_us: u32,
    /// Writing the pages into the image.
    #[prost(uint32, tag = "4")]
    pub memwrite_us: u32,
}

/// What a restore says of itself, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct CriuRestore {
    /// Making the processes.
    #[prost(uint32, tag = "3")]
    pub forking_us: u32,
    /// All of it.
    #[prost(uint32, tag = "4")]
    pub restore_us: u32,
}

/// Reads `stats-dump`; `None` if it is no such file.
pub fn dump(bytes: &[u8]) -> Option<CriuDump> {
    stats(bytes)?.dump
}

/// Reads `stats-restore`; `None` if it is no such file.
pub fn restore(bytes: &[u8]) -> Option<CriuRestore> {
    stats(bytes)?.restore
}

fn stats(bytes: &[u8]) -> Option<Stats> {
    let length = u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?);
    let message = bytes.get(12..12 + usize::try_from(length).ok()?)?;
    Stats::decode(message).ok()
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
