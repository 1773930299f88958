//! Pages become batches.

use crate::range::{PAGE, PageRange};

use super::due::Due;
use super::error::EncodeError;
use super::format::{
    Codec, HEADER, Header, MAX_BATCH, MAX_COPIED_PAGES, MAX_OP, MAX_PID, MAX_ZERO_PAGES, PAGE_LEN, Place,
    RawOp, USER_END,
};
use super::known::{Known, SLOTS};
use super::zero::is_zero;

/// The level at which zstd still keeps up with a network.
const ZSTD_LEVEL: i32 = 1;

/// Pages by how they were sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// As zeros.
    pub zero: u64,
    /// As themselves.
    pub data: u64,
    /// As copies.
    pub copied: u64,
}

impl Counts {
    /// All of them.
    pub fn pages(&self) -> u64 {
        self.zero + self.data + self.copied
    }
}

/// One batch, ready to be sent as one chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its bytes, at most [`MAX_BATCH`].
    pub bytes: Vec<u8>,
    /// The pages in it.
    pub counts: Counts,
    /// Bytes before compression.
    pub plain: usize,
    /// How it is compressed; not as was asked if that gained nothing.
    pub codec: Codec,
}

enum Round {
    None,
    /// While the container runs.
    Live(Due),
    /// While it is frozen.
    Frozen,
}

/// Makes batches of the pages of one container.
///
/// ```text
/// loop { encoder.begin_round(what is dirty); for each page { push; if full { send(take) } }; send(take) }
/// encoder.begin_frozen_round(); the same
/// ```
/// What has been taken must reach the receiver, in the rounds' order; if that is not certain for any batch (a broken
/// connection), call [`Encoder::forget`] before the next page.
///
/// Memory: 8 MiB for what it knows (until the frozen round), 32 bytes for each MiB of dirty memory, two batches.
pub struct Encoder {
    round: Round,
    number: u32,
    known: Known,
    /// Header and pages of the batch under way.
    batch: Vec<u8>,
    /// Its operations but the last.
    ops: Vec<u8>,
    /// The operation that may still grow.
    open: Option<RawOp>,
    counts: Counts,
    scratch: Vec<u8>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    total: Counts,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder before its first round.
    pub fn new() -> Self {
        Self::one_of(1)
    }

    /// One of several encoders of the same container, among which the pages of each round are shared out: each knows its part. All of
    /// them must begin every round, with everything that is dirty, whoever is to push it: only so none refers to a page that another one
    /// has overwritten.
    pub fn one_of(encoders: usize) -> Self {
        Self::with(Known::new(SLOTS / encoders.max(1)))
    }

    /// One for frozen rounds only: it knows nothing.
    pub fn frozen_only() -> Self {
        Self::with(Known::new(0))
    }

    fn with(known: Known) -> Self {
        Self {
            round: Round::None,
            number: 0,
            known,
            batch: Vec::new(),
            ops: Vec::new(),
            open: None,
            counts: Counts::default(),
            scratch: Vec::new(),
            zstd: None,
            total: Counts::default(),
        }
    }

    /// Begins a round of a running container, in which the pages of `dirty` (process, range) may be pushed, each once.
    /// `dirty` must name every page that was written since it was last pushed: what was sent of it is no longer what
    /// others are copies of. Fails if a batch waits to be taken, or a range is not of pages of a process.
    pub fn begin_round(
        &mut self,
        dirty: impl IntoIterator<Item = (i32, PageRange)>,
    ) -> Result<(), EncodeError> {
        self.next_round()?;
        let mut due = Due::default();
        add_all(&mut due, dirty)?;
        self.known.forget(&due);
        self.round = Round::Live(due);
        Ok(())
    }

    /// What was pushed of these pages in this round may not have reached the receiver: they may be pushed once more. Nothing that was
    /// pushed before now is referred to any more, and the batch under way is thrown away. Outside of a round of a running container, and
    /// with a range that is not of pages of a process, it fails; nothing is referred to any more then either.
    pub fn again(&mut self, lost: impl IntoIterator<Item = (i32, PageRange)>) -> Result<(), EncodeError> {
        self.forget();
        self.open = None;
        self.batch.clear();
        self.ops.clear();
        self.counts = Counts::default();
        let Round::Live(due) = &mut self.round else {
            return Err(EncodeError::NoRound);
        };
        add_all(due, lost)
    }

    /// Begins the round of a frozen container: any page may be pushed, nothing is hashed or sent as a copy, which takes a
    /// page's way through here from 0.5 to 0.08 s for each GiB. What others could be copies of is forgotten, and its
    /// memory given back.
    pub fn begin_frozen_round(&mut self) -> Result<(), EncodeError> {
        self.next_round()?;
        self.known = Known::new(0);
        self.round = Round::Frozen;
        Ok(())
    }

    fn next_round(&mut self) -> Result<(), EncodeError> {
        if self.open.is_some() {
            return Err(EncodeError::Pending);
        }
        self.round = Round::None;
        self.number = self.number.wrapping_add(1);
        Ok(())
    }

    /// The number of the round, from 1; 0 before the first. The batches carry it.
    pub fn round(&self) -> u32 {
        self.number
    }

    /// True while the container is said to be frozen.
    pub fn frozen(&self) -> bool {
        matches!(self.round, Round::Frozen)
    }

    /// Forgets what the receiver has: nothing pushed before now is referred to any more.
    pub fn forget(&mut self) {
        self.known.forget_if(|_, _| true);
    }

    /// The same for the pages of one process: its files at the receiver are gone.
    pub fn forget_process(&mut self, ns_pid: i32) {
        self.known
            .forget_if(|pid, _| i32::try_from(pid).is_ok_and(|pid| pid == ns_pid));
    }

    /// Pages of all batches taken so far.
    pub fn total(&self) -> Counts {
        self.total
    }

    /// True if the batch must be taken before the next page.
    pub fn full(&self) -> bool {
        self.batch.len() + PAGE_LEN + self.ops.len() + 2 * MAX_OP > MAX_BATCH
            || self.counts.copied >= u64::from(MAX_COPIED_PAGES)
            || self.counts.zero >= u64::from(MAX_ZERO_PAGES)
    }

    /// Adds a page: of the process `ns_pid` (in its container's PID namespace), at the address `vaddr`. After an error
    /// nothing has changed.
    pub fn push(&mut self, ns_pid: i32, vaddr: u64, page: &[u8; PAGE_LEN]) -> Result<(), EncodeError> {
        let pid = check(ns_pid, vaddr, vaddr.checked_add(PAGE))?;
        if self.full() {
            return Err(EncodeError::Full);
        }
        let live = match &mut self.round {
            Round::None => return Err(EncodeError::NoRound),
            Round::Frozen => false,
            Round::Live(due) => {
                if !due.take(pid, vaddr) {
                    return Err(EncodeError::NotDue { ns_pid, vaddr });
                }
                true
            }
        };
        let place = Place {
            pid,
            start: vaddr,
            pages: 1,
        };
        if is_zero(page) {
            self.counts.zero += 1;
            self.grow(RawOp::Zero(place));
            return Ok(());
        }
        if live {
            let hash = hash(page);
            if let Some(from) = self.known.find(hash) {
                self.counts.copied += 1;
                self.grow(RawOp::Copy(place, from));
                return Ok(());
            }
            self.known.insert(hash, pid, vaddr);
        }
        if self.batch.is_empty() {
            self.batch.reserve_exact(MAX_BATCH);
            self.batch.resize(HEADER, 0);
        }
        self.batch.extend_from_slice(page);
        self.counts.data += 1;
        self.grow(RawOp::Data(place));
        Ok(())
    }

    /// Adds one page's operation to the one under way, or begins a new one.
    fn grow(&mut self, op: RawOp) {
        match (&mut self.open, op) {
            (Some(RawOp::Zero(run)), RawOp::Zero(one)) | (Some(RawOp::Data(run)), RawOp::Data(one))
                if follows(run, &one) =>
            {
                run.pages += 1;
            }
            (Some(RawOp::Copy(run, (pid, start))), RawOp::Copy(one, from))
                if follows(run, &one)
                    && from == (*pid, *start + u64::from(run.pages) * PAGE)
                    // The target of a run must not grow into its own source.
                    && (one.pid != *pid || one.end() <= *start || run.start > from.1) =>
            {
                run.pages += 1;
            }
            (open, op) => {
                if let Some(done) = open.replace(op) {
                    done.write(&mut self.ops);
                }
            }
        }
    }

    /// Ends the batch under way; `None` if there is nothing in it. `wish` says how it should be compressed: it is not,
    /// if that would not save a sixteenth.
    pub fn take(&mut self, wish: Codec) -> Option<Batch> {
        self.open.take()?.write(&mut self.ops);
        let mut plain = std::mem::take(&mut self.batch);
        if plain.is_empty() {
            plain.resize(HEADER, 0);
        }
        plain.append(&mut self.ops);
        let counts = std::mem::take(&mut self.counts);
        self.total.zero += counts.zero;
        self.total.data += counts.data;
        self.total.copied += counts.copied;
        let body = plain.len() - HEADER;
        let encoded = self
            .compress(wish, &plain[HEADER..])
            .filter(|len| *len < body - body / 16);
        let codec = encoded.map_or(Codec::None, |_| wish);
        let mut head = [0; HEADER];
        Header {
            codec,
            round: self.number,
            pages: usize::try_from(counts.data).unwrap_or(usize::MAX),
            body,
            encoded: encoded.unwrap_or(body),
        }
        .write(&mut head);
        let bytes = if let Some(len) = encoded {
            let mut bytes = Vec::with_capacity(HEADER + len);
            bytes.extend_from_slice(&head);
            bytes.extend_from_slice(&self.scratch[..len]);
            plain.clear();
            self.batch = plain;
            bytes
        } else {
            plain[..HEADER].copy_from_slice(&head);
            plain
        };
        Some(Batch {
            bytes,
            counts,
            plain: body + HEADER,
            codec,
        })
    }

    /// Compresses into `scratch`; gives the length, or `None` if it is not to be used.
    fn compress(&mut self, codec: Codec, plain: &[u8]) -> Option<usize> {
        match codec {
            Codec::None => None,
            Codec::Lz4 => {
                self.scratch
                    .resize(lz4_flex::block::get_maximum_output_size(MAX_BATCH), 0);
                lz4_flex::block::compress_into(plain, &mut self.scratch).ok()
            }
            Codec::Zstd => {
                self.scratch
                    .resize(lz4_flex::block::get_maximum_output_size(MAX_BATCH), 0);
                if self.zstd.is_none() {
                    self.zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
                }
                let zstd = self.zstd.as_mut()?;
                zstd.compress_to_buffer(plain, self.scratch.as_mut_slice()).ok()
            }
        }
    }
}

fn add_all(due: &mut Due, dirty: impl IntoIterator<Item = (i32, PageRange)>) -> Result<(), EncodeError> {
    for (ns_pid, range) in dirty {
        let end = range
            .pages
            .checked_mul(PAGE)
            .and_then(|len| range.start.checked_add(len));
        let pid = check(ns_pid, range.start, end)?;
        due.add(pid, range);
    }
    Ok(())
}

fn follows(run: &Place, one: &Place) -> bool {
    run.pid == one.pid && run.end() == one.start
}

fn hash(page: &[u8; PAGE_LEN]) -> u128 {
    let hash = blake3::hash(page);
    let (first, _) = hash.as_bytes().split_first_chunk().unwrap_or((&[0; 16], &[]));
    u128::from_le_bytes(*first)
}

/// The PID as it travels, if there can be such pages.
fn check(ns_pid: i32, start: u64, end: Option<u64>) -> Result<u32, EncodeError> {
    let pid = u32::try_from(ns_pid)
        .ok()
        .filter(|pid| (1..=MAX_PID).contains(pid));
    let fits = start.is_multiple_of(PAGE) && end.is_some_and(|end| end <= USER_END);
    pid.filter(|_| fits)
        .ok_or(EncodeError::Place { ns_pid, vaddr: start })
}
