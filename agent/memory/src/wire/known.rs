//! Pages whose content the receiver is known to have.

use super::due::Due;

/// Slots in all: 8 MiB of memory, for 1 GiB of different pages.
pub(super) const SLOTS: usize = 1 << 18;
/// Slots among which a page may be.
const WAYS: usize = 4;

#[derive(Clone, Copy)]
struct Slot {
    hash: u128,
    start: u64,
    /// 0: empty.
    pid: u32,
    /// When it was last of use.
    used: u32,
}

const EMPTY: Slot = Slot {
    hash: 0,
    start: 0,
    pid: 0,
    used: 0,
};

/// A cache from content to place, of fixed size: the least recently useful of four makes room.
pub(super) struct Known {
    slots: Vec<Slot>,
    now: u32,
}

impl Known {
    /// An empty one. `slots` is a power of two, 4 at least.
    pub(super) fn new(slots: usize) -> Self {
        Self {
            slots: vec![EMPTY; slots.max(WAYS).next_power_of_two()],
            now: 0,
        }
    }

    /// A page of that content.
    pub(super) fn find(&mut self, hash: u128) -> Option<(u32, u64)> {
        self.now = self.now.wrapping_add(1);
        let now = self.now;
        let slot = self
            .bucket(hash)
            .iter_mut()
            .find(|slot| slot.pid != 0 && slot.hash == hash)?;
        slot.used = now;
        Some((slot.pid, slot.start))
    }

    /// Notes a page of that content.
    pub(super) fn insert(&mut self, hash: u128, pid: u32, start: u64) {
        let now = self.now;
        let age = |slot: &Slot| {
            if slot.pid == 0 {
                u32::MAX
            } else {
                now.wrapping_sub(slot.used)
            }
        };
        if let Some(slot) = self.bucket(hash).iter_mut().max_by_key(|slot| age(slot)) {
            *slot = Slot {
                hash,
                start,
                pid,
                used: now,
            };
        }
    }

    /// Drops every page that is about to be written again.
    pub(super) fn forget(&mut self, due: &Due) {
        self.forget_if(|pid, start| due.contains(pid, start));
    }

    /// Drops the pages for which that is true.
    pub(super) fn forget_if(&mut self, gone: impl Fn(u32, u64) -> bool) {
        for slot in &mut self.slots {
            if slot.pid != 0 && gone(slot.pid, slot.start) {
                *slot = EMPTY;
            }
        }
    }

    fn bucket(&mut self, hash: u128) -> &mut [Slot] {
        let buckets = self.slots.len() / WAYS;
        // The lowest bits are as good as any other of such a hash.
        #[allow(clippy::cast_possible_truncation)]
        let at = (hash as usize & (buckets - 1)) * WAYS;
        &mut self.slots[at..at + WAYS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range::PageRange;

    #[test]
    fn what_is_useful_stays_and_the_size_too() {
        let mut known = Known::new(WAYS);
        for page in 1..=4 {
            known.insert(page, 1, 4096 * u64::try_from(page).unwrap());
            known.find(0);
        }
        assert_eq!(known.find(1), Some((1, 4096)));
        known.insert(5, 1, 4096 * 5);
        assert_eq!(known.find(2), None, "the oldest without use");
        for page in [1, 3, 4, 5] {
            assert!(known.find(page).is_some(), "{page}");
        }
        assert_eq!(known.slots.len(), WAYS);
    }

    #[test]
    fn what_is_written_again_is_forgotten() {
        let mut known = Known::new(64);
        let page = |start| PageRange { start, pages: 1 };
        known.insert(7, 1, 4096);
        known.insert(8, 2, 4096);
        let mut due = Due::default();
        due.add(1, page(4096));
        known.forget(&due);
        assert_eq!((known.find(7), known.find(8)), (None, Some((2, 4096))));
    }
}
