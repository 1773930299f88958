//! Is a page all zeros?

use super::format::PAGE_LEN;

/// Bytes looked at between two chances to stop: a few vector registers.
const STRIDE: usize = 256;

/// True if every byte is zero. Most pages that are not zero say so in their first bytes.
pub(super) fn is_zero(page: &[u8; PAGE_LEN]) -> bool {
    page.chunks_exact(STRIDE).all(|stride| {
        let mut any = 0;
        for word in stride.as_chunks::<8>().0 {
            any |= u64::from_ne_bytes(*word);
        }
        any == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts() {
        let mut page = [0; PAGE_LEN];
        assert!(is_zero(&page));
        for at in 0..PAGE_LEN {
            page[at] = 1 << (at % 8);
            assert!(!is_zero(&page), "byte {at}");
            page[at] = 0;
        }
    }
}
