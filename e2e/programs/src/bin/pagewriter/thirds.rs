//! Memory that never changes: a third of it zeros that were written, a third repeats a few pages, a third is random.

use crate::Failure;
use crate::area::Area;
use crate::page::{SIZE, WORDS};
use crate::random::Random;
use std::sync::atomic::Ordering::Relaxed;

/// How many different pages the second third has.
const DIFFERENT: usize = 16;

pub(crate) struct Thirds(Area);

impl Thirds {
    /// So many bytes, all of them present.
    pub(crate) fn new(bytes: u64) -> Result<Self, Failure> {
        let thirds = Self(Area::private(usize::try_from(bytes)?.div_ceil(SIZE).max(1))?);
        if bytes > 0 {
            for at in 0..thirds.0.pages() {
                let mut content = content(at);
                for word in thirds.0.page(at) {
                    word.store(content(), Relaxed);
                }
            }
        }
        Ok(thirds)
    }

    /// Looks at all pages; the error names the first that is not what it was.
    pub(crate) fn check(&self) -> Result<u64, Failure> {
        // One page that was never touched if there are to be none.
        let pages = if self.0.pages() == 1 { 0 } else { self.0.pages() };
        for at in 0..pages {
            let mut content = content(at);
            if let Some(word) = (0..WORDS).find(|&word| self.0.page(at)[word].load(Relaxed) != content()) {
                return Err(format!(
                    "page {at} of the thirds at {:p}: word {word} changed",
                    self.0.address(at)
                )
                .into());
            }
        }
        Ok(pages as u64)
    }
}

/// The words of a page, one after the other.
fn content(at: usize) -> impl FnMut() -> u64 {
    let mut random = Random::new(if at % 3 == 1 {
        (at / 3 % DIFFERENT) as u64
    } else {
        1000 + at as u64
    });
    move || if at.is_multiple_of(3) { 0 } else { random.next() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_word_is_found() {
        let thirds = Thirds::new(30 * SIZE as u64).unwrap();
        assert_eq!(thirds.check().unwrap(), 30);
        for at in [0, 1, 2] {
            thirds.0.page(at)[500].fetch_add(1, Relaxed);
            assert!(
                thirds
                    .check()
                    .unwrap_err()
                    .to_string()
                    .contains(&format!("page {at}"))
            );
            thirds.0.page(at)[500].fetch_sub(1, Relaxed);
        }
        assert_eq!(Thirds::new(0).unwrap().check().unwrap(), 0);
    }
}
