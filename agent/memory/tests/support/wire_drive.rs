//! What the fuzz target does with its input.

use godwit_memory::range::PAGE;
use godwit_memory::wire::{Decoder, MAX_BATCH, MAX_COPIED_PAGES, MAX_ZERO_PAGES, Op, USER_END};

/// Decodes `input` and checks that whatever comes out is within every bound that a receiver relies on.
pub fn drive(input: &[u8]) {
    let mut decoder = Decoder::new();
    let Ok(received) = decoder.decode(input) else {
        return;
    };
    let (mut bytes, mut zeros, mut copies) = (0, 0, 0);
    for op in received.ops() {
        let (ns_pid, start, pages) = match op {
            Op::Zero { ns_pid, range } => {
                zeros += range.pages;
                (ns_pid, range.start, range.pages)
            }
            Op::Data { ns_pid, vaddr, pages } => {
                bytes += pages.len();
                assert!(!pages.is_empty() && pages.len().is_multiple_of(4096));
                (ns_pid, vaddr, pages.len() as u64 / PAGE)
            }
            Op::Copy { ns_pid, range, from } => {
                copies += range.pages;
                place(from.0, from.1, range.pages);
                assert!(
                    from.0 != ns_pid || from.1 >= range.end() || range.start >= from.1 + range.pages * PAGE
                );
                (ns_pid, range.start, range.pages)
            }
        };
        place(ns_pid, start, pages);
    }
    assert!(bytes <= MAX_BATCH);
    assert!(zeros <= u64::from(MAX_ZERO_PAGES) && copies <= u64::from(MAX_COPIED_PAGES));
}

fn place(ns_pid: i32, start: u64, pages: u64) {
    assert!(ns_pid > 0 && pages > 0 && start.is_multiple_of(PAGE));
    assert!(pages <= USER_END / PAGE && start + pages * PAGE <= USER_END);
}
