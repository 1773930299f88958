//! From regions of a scan to what is reported.

use super::Dirty;
use super::maps::{Kind, Mapping};
use super::scan::Region;
use crate::range::{PAGE, PageRange};

/// What becomes of pages outside of all known mappings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// Reported: the scan has marked them clean, so nobody will tell of them again (a stack that has grown since the mappings were
    /// read).
    Reported,
    /// Left for the next round.
    Left,
}

/// Cuts regions at the borders of mappings. Both are in the order of their addresses. Pages of mappings that are not lazy are left out;
/// those of locked ones only if nothing was marked clean (`Unknown::Left`): a mapping may be unlocked later, and is then told in whole
/// only if it was never registered.
pub fn cut(regions: &[Region], mappings: &[Mapping], unknown: Unknown) -> Vec<Dirty> {
    let mut ranges = Vec::new();
    let mut rest = mappings;
    for region in regions {
        let mut at = region.start;
        while at < region.end {
            while let [first, others @ ..] = rest
                && first.end <= at
            {
                rest = others;
            }
            let next = rest.first().filter(|mapping| mapping.start < region.end);
            let end = match next {
                Some(mapping) if mapping.start <= at => {
                    let end = mapping.end.min(region.end);
                    let reported = match mapping.kind {
                        Kind::Lazy => true,
                        Kind::Locked => unknown == Unknown::Reported,
                        Kind::Vdso | Kind::Other => false,
                    };
                    if reported {
                        push(&mut ranges, at, end, mapping.executable);
                    }
                    end
                }
                other => {
                    let end = other.map_or(region.end, |mapping| mapping.start);
                    if unknown == Unknown::Reported {
                        push(&mut ranges, at, end, false);
                    }
                    end
                }
            };
            at = end;
        }
    }
    ranges
}

fn push(ranges: &mut Vec<Dirty>, start: u64, end: u64, executable: bool) {
    let pages = end.saturating_sub(start) / PAGE;
    if pages == 0 {
        return;
    }
    match ranges.last_mut() {
        Some(last) if last.range.end() == start && last.executable == executable => {
            last.range.pages += pages;
        }
        _ => ranges.push(Dirty {
            range: PageRange { start, pages },
            executable,
        }),
    }
}

/// Joins two results, each in order, into one without overlaps.
pub fn merge(one: Vec<Dirty>, other: Vec<Dirty>) -> Vec<Dirty> {
    if other.is_empty() {
        return one;
    }
    let mut all = one;
    all.extend(other);
    all.sort_unstable_by_key(|dirty| dirty.range.start);
    let mut merged: Vec<Dirty> = Vec::with_capacity(all.len());
    for dirty in all {
        let start = merged
            .last()
            .map_or(dirty.range.start, |last| last.range.end().max(dirty.range.start));
        push(&mut merged, start, dirty.range.end(), dirty.executable);
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(start: u64, end: u64, kind: Kind, executable: bool) -> Mapping {
        Mapping {
            start: start * PAGE,
            end: end * PAGE,
            executable,
            kind,
        }
    }

    fn told(dirty: &[Dirty]) -> Vec<(u64, u64, bool)> {
        dirty
            .iter()
            .map(|dirty| (dirty.range.start / PAGE, dirty.range.pages, dirty.executable))
            .collect()
    }

    fn mappings() -> Vec<Mapping> {
        vec![
            mapping(10, 20, Kind::Lazy, false),
            mapping(20, 25, Kind::Lazy, true),
            mapping(25, 30, Kind::Other, false),
            mapping(40, 50, Kind::Locked, false),
            mapping(50, 60, Kind::Lazy, false),
        ]
    }

    #[test]
    fn regions_are_cut_at_mappings() {
        let regions = [
            Region::new(5 * PAGE, 45 * PAGE),
            Region::new(48 * PAGE, 55 * PAGE),
        ];
        assert_eq!(
            told(&cut(&regions, &mappings(), Unknown::Left)),
            [(10, 10, false), (20, 5, true), (50, 5, false)]
        );
        assert_eq!(
            told(&cut(&regions, &mappings(), Unknown::Reported)),
            [(5, 15, false), (20, 5, true), (30, 15, false), (48, 7, false)]
        );
    }

    #[test]
    fn without_mappings_everything_is_unknown() {
        let regions = [Region::new(5 * PAGE, 6 * PAGE)];
        assert_eq!(told(&cut(&regions, &[], Unknown::Reported)), [(5, 1, false)]);
        assert!(cut(&regions, &[], Unknown::Left).is_empty());
    }

    #[test]
    fn merging_leaves_no_overlap() {
        let one = cut(&[Region::new(10 * PAGE, 14 * PAGE)], &mappings(), Unknown::Left);
        let other = cut(
            &[
                Region::new(12 * PAGE, 16 * PAGE),
                Region::new(52 * PAGE, 53 * PAGE),
            ],
            &mappings(),
            Unknown::Left,
        );
        assert_eq!(told(&merge(other, one)), [(10, 6, false), (52, 1, false)]);
    }
}
