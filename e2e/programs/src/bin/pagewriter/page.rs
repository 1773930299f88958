//! One page: its name, its sequence number, a body that follows from both, and a checksum over all that.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of a page.
pub(crate) const SIZE: usize = 4096;
/// Words of a page.
pub(crate) const WORDS: usize = SIZE / 8;
const LAST: usize = WORDS - 1;
const LANES: usize = 4;

/// Atomic words, as a page may be read while it is written; who reads it finds out by its index.
pub(crate) type Page = [AtomicU64; WORDS];

/// Write the page called `name` in its version `sequence` (1 or more). No two pages or versions are alike, nor does any of them shrink by
/// compression.
pub(crate) fn write(page: &Page, name: u64, sequence: u64) {
    let seed = name.rotate_left(24) ^ sequence.wrapping_mul(0xd6e8_feb8_6659_fd93);
    let mut lanes = [name ^ sequence; LANES];
    for (at, word) in page[..LAST].iter().enumerate() {
        let value = match at {
            0 => name,
            1 => sequence,
            _ => body(seed, at as u64),
        };
        word.store(value, Relaxed);
        lanes[at % LANES] = mixed(lanes[at % LANES], value);
    }
    page[LAST].store(sum(lanes), Relaxed);
}

/// Read the page called `name`; gives its sequence number, 0 for a page of zeros. The error says in what it is damaged.
pub(crate) fn read(page: &Page, name: u64) -> Result<u64, String> {
    let (found, sequence) = (page[0].load(Relaxed), page[1].load(Relaxed));
    if found == 0 && sequence == 0 {
        let not = page.iter().position(|word| word.load(Relaxed) != 0);
        return match not {
            None => Ok(0),
            Some(at) => Err(format!("begins with zeros, but word {at} is not zero")),
        };
    }
    let mut lanes = [name ^ sequence; LANES];
    for (at, word) in page[..LAST].iter().enumerate() {
        lanes[at % LANES] = mixed(lanes[at % LANES], word.load(Relaxed));
    }
    if found != name {
        return Err(format!("is page {found:#x} in version {sequence}"));
    }
    if sum(lanes) != page[LAST].load(Relaxed) {
        return Err(format!("has a wrong checksum in version {sequence}"));
    }
    Ok(sequence)
}

fn body(seed: u64, at: u64) -> u64 {
    let value = seed.wrapping_add(at.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (value ^ (value >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Four sums side by side, as each step of one waits for the step before.
fn mixed(sum: u64, value: u64) -> u64 {
    (sum ^ value).wrapping_mul(0x9fb2_1c65_1e98_df25).rotate_left(23)
}

fn sum(lanes: [u64; LANES]) -> u64 {
    lanes.into_iter().fold(1, mixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blank() -> Box<Page> {
        Box::new([const { AtomicU64::new(0) }; WORDS])
    }

    #[test]
    fn what_is_written_is_read() {
        let page = blank();
        assert_eq!(read(&page, 7), Ok(0));
        write(&page, 7, 3);
        assert_eq!(read(&page, 7), Ok(3));
        assert!(read(&page, 8).unwrap_err().contains("is page 0x7"));
    }

    #[test]
    fn every_single_changed_word_is_found() {
        let page = blank();
        write(&page, 7, 3);
        for at in 0..WORDS {
            let was = page[at].fetch_xor(1 << (at % 64), Relaxed);
            assert_ne!(read(&page, 7), Ok(3), "word {at}");
            page[at].store(was, Relaxed);
        }
        assert_eq!(read(&page, 7), Ok(3));
    }

    #[test]
    fn a_mixture_of_two_versions_is_found() {
        let (page, newer) = (blank(), blank());
        write(&page, 7, 3);
        write(&newer, 7, 4);
        for at in WORDS / 2..WORDS {
            page[at].store(newer[at].load(Relaxed), Relaxed);
        }
        assert!(read(&page, 7).unwrap_err().contains("checksum"));
    }

    #[test]
    fn a_lost_end_of_a_fresh_page_is_found() {
        let page = blank();
        page[WORDS - 1].store(1, Relaxed);
        assert!(read(&page, 7).is_err());
    }
}
