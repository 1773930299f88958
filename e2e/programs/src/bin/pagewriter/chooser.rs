//! Which page is written next.

use std::ops::Range;

use crate::random::Random;
use crate::settings::Pattern;

pub(crate) struct Chooser {
    pattern: Pattern,
    pages: Range<usize>,
    random: Random,
    next: usize,
}

impl Chooser {
    /// Chooses among `pages`, which is not empty.
    pub(crate) fn new(pattern: Pattern, pages: Range<usize>, seed: u64) -> Self {
        Self {
            pattern,
            next: pages.start,
            pages,
            random: Random::new(seed),
        }
    }

    pub(crate) fn next(&mut self) -> usize {
        let (first, count) = (self.pages.start, self.pages.len());
        match self.pattern {
            Pattern::Hot if self.random.below(10) > 0 => first + self.random.below(count.div_ceil(10)),
            Pattern::Hot | Pattern::Uniform => first + self.random.below(count),
            Pattern::Append => {
                let page = self.next;
                self.next = if page + 1 < self.pages.end {
                    page + 1
                } else {
                    first
                };
                page
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_stay_within_their_pages() {
        for pattern in [Pattern::Uniform, Pattern::Hot, Pattern::Append] {
            let mut chooser = Chooser::new(pattern, 100..200, 1);
            assert!(
                (0..10_000).all(|_| (100..200).contains(&chooser.next())),
                "{pattern:?}"
            );
        }
    }

    #[test]
    fn hot_pages_get_most_writes() {
        let mut chooser = Chooser::new(Pattern::Hot, 0..1000, 1);
        let hot = (0..10_000).filter(|_| chooser.next() < 100).count();
        assert!((8_500..9_800).contains(&hot), "{hot}");
    }

    #[test]
    fn append_comes_round() {
        let mut chooser = Chooser::new(Pattern::Append, 5..8, 1);
        assert_eq!([5, 6, 7, 5], [(); 4].map(|()| chooser.next()));
    }
}
