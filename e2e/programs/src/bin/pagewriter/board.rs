//! What all processes of the program tell each other: one small shared mapping of atomic words.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::Failure;
use crate::area::Area;
use crate::page::SIZE;
use crate::settings::MOST;

/// How many damages are kept in words; all are counted.
const TEXTS: usize = 16;
const TEXT: usize = 300;

/// All zeros at first.
#[repr(C)]
pub(crate) struct Board {
    /// The number of the last `verify` that was asked for.
    pub(crate) wanted: AtomicU64,
    /// 1: everybody ends.
    pub(crate) end: AtomicU32,
    damages: AtomicU64,
    texts: [Text; TEXTS],
    /// One for each process: the workers, then the twin.
    pub(crate) processes: [ProcessSlot; MOST + 1],
}

#[repr(C)]
struct Text {
    length: AtomicU32,
    bytes: [AtomicU8; TEXT],
}

/// What one process says.
#[repr(C)]
pub(crate) struct ProcessSlot {
    /// The last `verify` that it has done.
    pub(crate) verified: AtomicU64,
    /// Pages that it looked at for that.
    pub(crate) pages: AtomicU64,
    /// Rounds of its churn.
    pub(crate) rounds: AtomicU64,
    /// 1: it has all its memory and works.
    pub(crate) ready: AtomicU32,
    pub(crate) writers: [WriterSlot; MOST],
}

/// What one writer says.
#[repr(C)]
pub(crate) struct WriterSlot {
    /// Pages written after the first pass.
    pub(crate) written: AtomicU64,
    /// Times that its one page was written which is there to show that it lives.
    pub(crate) beats: AtomicU64,
    /// The largest time between two writes since it was last asked, in microseconds.
    pub(crate) gap_us: AtomicU64,
}

impl Board {
    /// The one board of this program, for this process and all that it forks.
    pub(crate) fn share() -> Result<&'static Self, Failure> {
        let area = Area::shared(size_of::<Self>().div_ceil(SIZE))?;
        let board = area.address(0).cast::<Self>();
        std::mem::forget(area);
        // SAFETY: the mapping is large enough, aligned to a page, never unmapped, and all zeros, which is a valid value
        // of atomic integers.
        Ok(unsafe { &*board })
    }

    /// Tells of damage, here and on the standard output.
    pub(crate) fn damaged(&self, what: &str) {
        println!("DAMAGED {what}");
        let number = self.damages.fetch_add(1, Ordering::AcqRel);
        let Some(text) = usize::try_from(number).ok().and_then(|at| self.texts.get(at)) else {
            return;
        };
        let mut length = 0;
        for (byte, slot) in what.bytes().zip(&text.bytes) {
            slot.store(byte, Ordering::Relaxed);
            length += 1;
        }
        text.length.store(length, Ordering::Release);
    }

    /// How often damage was found.
    pub(crate) fn damages(&self) -> u64 {
        self.damages.load(Ordering::Acquire)
    }

    /// The first damages in words.
    pub(crate) fn told(&self) -> String {
        let texts = self.texts.iter().map(|text| {
            let length = text.length.load(Ordering::Acquire) as usize;
            let bytes: Vec<u8> = text
                .bytes
                .iter()
                .take(length)
                .map(|byte| byte.load(Ordering::Relaxed))
                .collect();
            String::from_utf8_lossy(&bytes).replace(['\n', '\r', '"', '\\'], " ")
        });
        let texts: Vec<String> = texts.filter(|text| !text.is_empty()).collect();
        texts.join("; ")
    }

    pub(crate) fn ends(&self) -> bool {
        self.end.load(Ordering::Relaxed) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damages_are_counted_and_the_first_are_told() {
        let board = Board::share().unwrap();
        assert_eq!((board.damages(), board.told()), (0, String::new()));
        for number in 0..20 {
            board.damaged(&format!("page {number}"));
        }
        assert_eq!(board.damages(), 20);
        assert!(board.told().starts_with("page 0; page 1;") && board.told().ends_with("page 15"));
    }
}
