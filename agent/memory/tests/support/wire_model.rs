//! A receiver of batches that keeps pages in a map, in the two ways that the protocol allows.

use std::collections::BTreeMap;

use godwit_memory::wire::{Decoder, Op, WireError};

pub const PAGE: u64 = 4096;
pub type Page = Vec<u8>;
pub type Memory = BTreeMap<(i32, u64), Page>;

/// Applies a batch at once. Fails without having changed anything.
pub fn apply(decoder: &mut Decoder, memory: &mut Memory, batch: &[u8]) -> Result<(), WireError> {
    for op in decoder.decode(batch)?.ops() {
        one(memory, op);
    }
    Ok(())
}

/// Applies a round whose batches came in any order: copies last.
pub fn apply_round(decoder: &mut Decoder, memory: &mut Memory, batches: &[Vec<u8>]) -> Result<(), WireError> {
    let mut copies = Vec::new();
    for batch in batches {
        for op in decoder.decode(batch)?.ops() {
            if let Op::Copy { ns_pid, range, from } = op {
                copies.push((ns_pid, range, from));
            } else {
                one(memory, op);
            }
        }
    }
    for (ns_pid, range, from) in copies {
        one(memory, Op::Copy { ns_pid, range, from });
    }
    Ok(())
}

fn one(memory: &mut Memory, op: Op<'_>) {
    match op {
        Op::Zero { ns_pid, range } => {
            for page in 0..range.pages {
                memory.insert((ns_pid, range.start + page * PAGE), vec![0; 4096]);
            }
        }
        Op::Data { ns_pid, vaddr, pages } => {
            for (at, page) in (0..).zip(pages.chunks_exact(4096)) {
                memory.insert((ns_pid, vaddr + at * PAGE), page.to_vec());
            }
        }
        Op::Copy {
            ns_pid,
            range,
            from: (pid, start),
        } => {
            for page in 0..range.pages {
                // A page that a damaged batch refers to may not exist.
                let content = memory
                    .get(&(pid, start + page * PAGE))
                    .cloned()
                    .unwrap_or_default();
                memory.insert((ns_pid, range.start + page * PAGE), content);
            }
        }
    }
}
