//! What the application, the images and the store agree on.

pub const PAGE: u64 = 4096;
/// The restored region.
pub const BASE: u64 = 0x10_0000_0000;
/// Where mappings move to.
pub const ARENA: u64 = 0x20_0000_0000;

/// What a page of the images holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Data that tells process and address.
    Data,
    /// Zeros that are stored as zeros.
    Zeros,
    /// Nothing: it was never touched.
    Absent,
}

/// Where the second of the two mappings of the images begins.
pub fn second(pages: u64) -> u64 {
    BASE + pages / 3 * PAGE
}

pub fn kind(address: u64) -> Kind {
    match (address - BASE) / PAGE / 16 % 7 {
        5 => Kind::Zeros,
        6 => Kind::Absent,
        _ => Kind::Data,
    }
}

pub fn mix(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Word `index` of the page that was at this address.
pub fn word(ns_pid: i32, address: u64, index: u64) -> u64 {
    match kind(address) {
        Kind::Data => mix(address ^ u64::from(ns_pid.unsigned_abs()) << 48).wrapping_add(index),
        _ => 0,
    }
}

pub fn page(ns_pid: i32, address: u64) -> Vec<u8> {
    (0..PAGE / 8)
        .flat_map(|index| word(ns_pid, address, index).to_ne_bytes())
        .collect()
}
