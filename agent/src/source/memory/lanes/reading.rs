//! The thread of a lane: takes pieces, reads their pages, makes batches of them.

use std::{collections::VecDeque, io, sync::Arc};

use bytes::Bytes;
use godwit_memory::{
    pages::Reader,
    range::{PAGE, PageRange},
    wire::{Chooser, Encoder},
};
use tokio::sync::mpsc;

use super::plan::{Piece, Plan};
use crate::source::memory::{container::MemoryError, pump::LinkClock};

/// What the thread hands to whoever writes to the connection.
#[derive(Debug)]
pub(super) enum Out {
    /// A piece of this container begins.
    Begin { container: usize },
    /// A batch of it, with how many pages there are in it.
    Batch { bytes: Bytes, pages: u64 },
    /// It has ended; these pages of the container were in it.
    End {
        container: usize,
        pages: Vec<(i32, PageRange)>,
    },
}

/// Where the thread puts it.
pub(super) struct Way {
    pub(super) queue: mpsc::Sender<Out>,
    pub(super) clock: Arc<LinkClock>,
}

impl Way {
    /// Waits for room. Fails when nobody takes it any more.
    fn put(&self, out: Out) -> Result<(), MemoryError> {
        let put = self.queue.blocking_send(out);
        put.map_err(|_| MemoryError::GivenUp(io::ErrorKind::BrokenPipe.into()))
    }
}

/// A lane's share of a round.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// Pieces that have to be sent again, before any other.
    again: VecDeque<usize>,
    /// Pieces that were begun on the connection there is, in this order.
    begun: Vec<usize>,
}

impl Share {
    /// The connection is gone; of what was begun on it, the target has kept the first so many pieces.
    pub(super) fn broken(&mut self, kept: usize) {
        let lost = self.begun.split_off(kept.min(self.begun.len()));
        self.begun.clear();
        self.again = lost.into_iter().chain(self.again.drain(..)).collect();
    }
}

/// What a lane knows of the pages that it has sent; lives as long as the copy.
pub(super) struct Reading {
    lanes: usize,
    /// One for each container.
    encoders: Vec<Encoder>,
    chooser: Chooser,
    buffer: Vec<u8>,
    /// The round that the encoders have begun.
    round: u32,
}

impl Reading {
    /// For one of so many lanes.
    pub(super) fn new(lanes: usize) -> Self {
        Self {
            lanes,
            encoders: Vec::new(),
            chooser: Chooser::new(),
            buffer: Vec::new(),
            round: 0,
        }
    }

    /// What has been learnt of the link and of compression.
    pub(super) fn chooser(&self) -> &Chooser {
        &self.chooser
    }

    /// Reads and sends pieces until there are no more. Called again for the same round, it goes on on another connection.
    pub(super) fn run(&mut self, plan: &Plan, share: &mut Share, way: &Way) -> Result<(), MemoryError> {
        self.chooser.change_thread();
        self.begin(plan, share)?;
        while let Some(index) = share.again.pop_front().or_else(|| plan.take()) {
            share.begun.push(index);
            if let Some(piece) = plan.piece(index) {
                self.piece(piece, way)?;
            }
        }
        Ok(())
    }

    /// Every encoder begins every round, with all that is dirty, so that none refers to what another lane has overwritten.
    fn begin(&mut self, plan: &Plan, share: &Share) -> Result<(), MemoryError> {
        let lanes = self.lanes;
        self.encoders
            .resize_with(plan.containers(), || Encoder::one_of(lanes));
        let anew = self.round != plan.number();
        for (container, encoder) in self.encoders.iter_mut().enumerate() {
            if anew {
                encoder.begin_round(plan.dirty(container))?;
            } else {
                let lost = share.again.iter().filter_map(|index| plan.piece(*index));
                let lost = lost.filter(|piece| piece.container == container);
                let spans = lost.flat_map(|piece| &piece.spans);
                encoder.again(spans.map(|span| (span.ns_pid, span.range)))?;
            }
        }
        self.round = plan.number();
        Ok(())
    }

    fn piece(&mut self, piece: &Piece, way: &Way) -> Result<(), MemoryError> {
        let container = piece.container;
        way.put(Out::Begin { container })?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut pages: Vec<(i32, PageRange)> = Vec::new();
        let mut reader: Option<(i32, Option<Reader>)> = None;
        for span in &piece.spans {
            // Opened anew for each piece: what was opened before an exec shows nothing of the program after it.
            let open = match reader.take().filter(|(pid, _)| *pid == span.pid) {
                Some(open) => open,
                None => (span.pid, Reader::open(span.pid)?),
            };
            let (_, open) = reader.insert(open);
            let Some(open) = open else { continue };
            let mut pushed = Ok(());
            open.read(span.range, &mut buffer, |address, page| {
                if pushed.is_ok() {
                    pushed = self.push(container, span.ns_pid, address, page, way);
                    note(&mut pages, span.ns_pid, address);
                }
            })?;
            pushed?;
        }
        self.buffer = buffer;
        self.hand_over(container, way)?;
        way.put(Out::End { container, pages })
    }

    fn push(
        &mut self,
        container: usize,
        ns_pid: i32,
        address: u64,
        page: &[u8; 4096],
        way: &Way,
    ) -> Result<(), MemoryError> {
        if self.encoders[container].full() {
            self.hand_over(container, way)?;
        }
        Ok(self.encoders[container].push(ns_pid, address, page)?)
    }

    fn hand_over(&mut self, container: usize, way: &Way) -> Result<(), MemoryError> {
        match way.clock.batch(&mut self.chooser, &mut self.encoders[container]) {
            Some(batch) => way.put(Out::Batch {
                bytes: Bytes::from(batch.bytes),
                pages: batch.counts.pages(),
            }),
            None => Ok(()),
        }
    }
}

/// Adds a page to the ranges that end with it.
fn note(pages: &mut Vec<(i32, PageRange)>, ns_pid: i32, address: u64) {
    match pages.last_mut() {
        Some((of, range)) if *of == ns_pid && range.end() == address => range.pages += 1,
        _ => pages.push((
            ns_pid,
            PageRange {
                start: address,
                pages: 1,
            },
        )),
    }
    debug_assert!(address.is_multiple_of(PAGE));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_and_is_not_kept_comes_first_again() {
        let mut share = Share {
            again: VecDeque::from([8, 9]),
            begun: vec![3, 4, 7],
        };
        share.broken(1);
        assert_eq!((share.again, share.begun), (VecDeque::from([4, 7, 8, 9]), vec![]));
        let mut share = Share {
            again: VecDeque::new(),
            begun: vec![1],
        };
        share.broken(5);
        assert!(share.again.is_empty() && share.begun.is_empty());
    }
}
