//! Whatever a container writes, the receiver's memory becomes the same.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by panicking, also in its helpers.

#[path = "support/wire_drive.rs"]
mod wire_drive;
#[path = "support/wire_model.rs"]
mod wire_model;

use godwit_memory::range::PageRange;
use godwit_memory::wire::{
    Batch, Codec, Decoder, EncodeError, Encoder, MAX_BATCH, MAX_COPIED_PAGES, MAX_ZERO_PAGES, USER_END,
};
use proptest::prelude::*;
use wire_model::{Memory, PAGE, apply, apply_round};

fn one_page(vaddr: u64) -> PageRange {
    PageRange {
        start: vaddr,
        pages: 1,
    }
}

/// A page of a kind: 0 zero, small numbers repeat, of compressible and of random content.
fn content(kind: u8) -> [u8; 4096] {
    let mut page = [0; 4096];
    if kind.is_multiple_of(3) {
        page[usize::from(kind)] = kind;
        return page;
    }
    let mut state = u64::from(kind) | 1 << 40;
    for word in page.as_chunks_mut::<8>().0 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *word = (state ^ state >> 29).to_le_bytes();
    }
    page
}

/// Sends all these pages as a round; gives its batches.
fn send(
    encoder: &mut Encoder,
    pages: &[((i32, u64), [u8; 4096])],
    codecs: &[Codec],
    frozen: bool,
    small: usize,
) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut codecs = codecs.iter().cycle();
    if frozen {
        encoder.begin_frozen_round().unwrap();
    } else {
        let dirty = pages.iter().map(|((pid, vaddr), _)| (*pid, one_page(*vaddr)));
        encoder.begin_round(dirty).unwrap();
    }
    for (at, ((pid, vaddr), page)) in pages.iter().enumerate() {
        encoder.push(*pid, *vaddr, page).unwrap();
        if encoder.full() || at % small == small - 1 {
            batches.extend(encoder.take(*codecs.next().unwrap()));
        }
    }
    batches.extend(encoder.take(*codecs.next().unwrap()));
    for batch in &batches {
        assert!(batch.bytes.len() <= MAX_BATCH && batch.plain <= MAX_BATCH);
        assert!(!frozen || batch.counts.copied == 0);
    }
    batches
}

fn codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(Codec::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Two receivers, one in order, one that gets each round in any order, end with the sender's memory: after any
    /// rounds of any writes, with zeros, repetitions, and pages overwritten that others were sent as copies of.
    #[test]
    fn the_memory_arrives(
        rounds in prop::collection::vec(
            (prop::collection::btree_map((1..4_i32, 0..24_u64), 0..10_u8, 0..60), any::<u64>()),
            1..8,
        ),
        codecs in prop::collection::vec(codec(), 1..6),
        small in 1..80_usize,
        last_is_frozen in any::<bool>(),
    ) {
        let mut encoder = Encoder::new();
        let mut decoder = Decoder::new();
        let (mut truth, mut in_order, mut shuffled) = (Memory::new(), Memory::new(), Memory::new());
        let count = rounds.len();
        for (number, (writes, order)) in rounds.into_iter().enumerate() {
            let mut pages: Vec<_> = writes
                .into_iter()
                .map(|((pid, page), kind)| ((pid, 0x7000_0000 + page * PAGE), content(kind)))
                .collect();
            // The order within a round is free.
            let len = pages.len().max(1);
            pages.rotate_left(usize::try_from(order % 64).unwrap() % len);
            for (place, page) in &pages {
                truth.insert(*place, page.to_vec());
            }
            let frozen = last_is_frozen && number == count - 1;
            let batches = send(&mut encoder, &pages, &codecs, frozen, small);
            for batch in &batches {
                apply(&mut decoder, &mut in_order, &batch.bytes).unwrap();
            }
            let mut bytes: Vec<_> = batches.into_iter().map(|batch| batch.bytes).collect();
            if order % 2 == 0 {
                bytes.reverse();
            }
            apply_round(&mut decoder, &mut shuffled, &bytes).unwrap();
            prop_assert_eq!(&truth, &in_order);
            prop_assert_eq!(&truth, &shuffled);
        }
        prop_assert_eq!(u64::from(encoder.round()), count as u64);
    }

    /// Several encoders share out each round; some batches are lost on the way, and their pages, with newer content by then, pushed again.
    /// The receiver applies what arrives of each in its order, and ends with the sender's memory.
    #[test]
    fn the_memory_arrives_by_lanes_that_break(
        rounds in prop::collection::vec(
            (prop::collection::btree_map((1..3_i32, 0..24_u64), (0..10_u8, 0..3_usize), 0..60), any::<u64>()),
            1..8,
        ),
        cuts in prop::collection::vec((0..12_usize, any::<bool>()), 1..8),
        newer in 0..10_u8,
        codec in codec(),
    ) {
        let mut encoders = [Encoder::one_of(3), Encoder::one_of(3), Encoder::one_of(3)];
        let mut decoder = Decoder::new();
        let (mut truth, mut store) = (Memory::new(), Memory::new());
        let mut cuts = cuts.into_iter().cycle();
        for (writes, order) in rounds {
            let pages: Vec<_> = writes
                .into_iter()
                .map(|((pid, page), (kind, lane))| ((pid, 0x7000_0000 + page * PAGE), kind, lane))
                .collect();
            for ((pid, vaddr), kind, _) in &pages {
                truth.insert((*pid, *vaddr), content(*kind).to_vec());
            }
            let mut arriving: Vec<Vec<Vec<u8>>> = Vec::new();
            for (lane, encoder) in encoders.iter_mut().enumerate() {
                let mine: Vec<_> = pages.iter().filter(|(_, _, of)| *of == lane).collect();
                encoder.begin_round(pages.iter().map(|((pid, vaddr), ..)| (*pid, one_page(*vaddr)))).unwrap();
                let mut batches = Vec::new();
                for ((pid, vaddr), kind, _) in &mine {
                    encoder.push(*pid, *vaddr, &content(*kind)).unwrap();
                    batches.extend(encoder.take(codec).map(|batch| batch.bytes));
                }
                // Of the rest none arrives; one of those that do may be sent again all the same.
                let (kept, twice) = cuts.next().unwrap();
                if kept < batches.len() {
                    batches.truncate(kept);
                    let again = &mine[kept - usize::from(twice && kept > 0)..];
                    if order % 3 == 0 {
                        // Something under way that goes nowhere.
                        let ((pid, vaddr), ..) = mine[mine.len() - 1];
                        encoder.again([(*pid, one_page(*vaddr))]).unwrap();
                        encoder.push(*pid, *vaddr, &content(3)).unwrap();
                    }
                    encoder.again(again.iter().map(|((pid, vaddr), ..)| (*pid, one_page(*vaddr)))).unwrap();
                    for ((pid, vaddr), ..) in again {
                        truth.insert((*pid, *vaddr), content(newer).to_vec());
                        encoder.push(*pid, *vaddr, &content(newer)).unwrap();
                    }
                    batches.extend(encoder.take(codec).map(|batch| batch.bytes));
                }
                arriving.push(batches);
            }
            // Any order between the lanes.
            let mut state = order;
            while arriving.iter().any(|batches| !batches.is_empty()) {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let lane = usize::try_from(state >> 33).unwrap() % arriving.len();
                if !arriving[lane].is_empty() {
                    let batch = arriving[lane].remove(0);
                    apply(&mut decoder, &mut store, &batch).unwrap();
                }
            }
            prop_assert_eq!(&truth, &store);
        }
    }

    /// A batch that was cut anywhere, or is followed by more, is refused: nothing of it is applied.
    #[test]
    fn a_cut_is_an_error(kinds in prop::collection::vec(0..10_u8, 1..20), codec in codec(), cut in any::<prop::sample::Index>()) {
        let bytes = batch_of(&kinds, codec);
        let mut decoder = Decoder::new();
        prop_assert!(decoder.decode(&bytes).is_ok());
        prop_assert!(decoder.decode(&bytes[..cut.index(bytes.len())]).is_err());
        let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
        prop_assert_eq!(decoder.decode(&longer).unwrap_err().reason(), "BatchLength");
    }

    /// A flipped bit ends in an error or in operations within all bounds; the frame check of the session finds all.
    #[test]
    fn a_flipped_bit_is_bounded(kinds in prop::collection::vec(0..10_u8, 1..20), codec in codec(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut bytes = batch_of(&kinds, codec);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        wire_drive::drive(&bytes);
        let mut decoder = Decoder::new();
        let ended = decoder.decode(&bytes);
        // Magic, version, and all lengths.
        if at < 3 || (8..20).contains(&at) {
            prop_assert!(ended.is_err(), "byte {}", at);
        }
    }

    /// Nor do bytes that were never a batch.
    #[test]
    fn garbage_is_bounded(head in prop::collection::vec(any::<u8>(), 0..40), body in prop::collection::vec(any::<u8>(), 0..300), codec in 0..4_u8, pages in 0..3_u32) {
        wire_drive::drive(&head);
        let len = u32::try_from(body.len()).unwrap().to_le_bytes();
        for plain in [len, 4096_u32.to_le_bytes(), 200_000_u32.to_le_bytes()] {
            let mut forged = vec![b'G', b'M', 1, codec, 1, 0, 0, 0];
            forged.extend_from_slice(&pages.to_le_bytes());
            forged.extend_from_slice(&plain);
            forged.extend_from_slice(&len);
            forged.extend_from_slice(&body);
            wire_drive::drive(&forged);
        }
    }
}

fn batch_of(kinds: &[u8], codec: Codec) -> Vec<u8> {
    let pages: Vec<_> = (0..)
        .zip(kinds)
        .map(|(at, kind)| ((1, at * PAGE), content(*kind)))
        .collect();
    let mut batches = send(&mut Encoder::new(), &pages, &[codec], false, 1000);
    assert_eq!(batches.len(), 1);
    batches.remove(0).bytes
}

/// The figure, scaled down: a third zero, a third that repeats, a third random.
#[test]
fn a_third_zero_and_a_third_repeated_is_under_045() {
    const PAGES: u64 = 8192;
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = || {
        let mut page = [0; 4096];
        for word in page.as_chunks_mut::<8>().0 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *word = state.to_le_bytes();
        }
        page
    };
    let repeated: Vec<_> = (0..64).map(|_| random()).collect();
    let pages: Vec<_> = (0..PAGES)
        .map(|at| {
            let page = match at % 3 {
                0 => [0; 4096],
                1 => repeated[usize::try_from(at / 3 % 64).unwrap()],
                _ => random(),
            };
            ((1, at * PAGE), page)
        })
        .collect();
    let mut encoder = Encoder::new();
    let batches = send(&mut encoder, &pages, &[Codec::None], false, usize::MAX);
    let sent: usize = batches.iter().map(|batch| batch.bytes.len()).sum();
    let whole = usize::try_from(PAGES * PAGE).unwrap();
    assert!(sent * 100 <= whole * 45, "{sent} of {whole}");
    assert_eq!(encoder.total().pages(), PAGES);
    assert_eq!(encoder.total().zero, PAGES.div_ceil(3));

    let (mut decoder, mut memory) = (Decoder::new(), Memory::new());
    for batch in batches {
        apply(&mut decoder, &mut memory, &batch.bytes).unwrap();
    }
    assert!(pages.iter().all(|(place, page)| memory[place] == page));
}

/// The page that others are copies of changes in the very round that makes another copy of its old content.
#[test]
fn a_page_that_changes_is_no_source() {
    let mut encoder = Encoder::new();
    let old = content(1);
    send(&mut encoder, &[((1, 0), old)], &[Codec::None], false, 100);
    let second = [((1, PAGE), old), ((1, 0), content(2)), ((2, 0), old)];
    let batches = send(&mut encoder, &second, &[Codec::None], false, 100);
    let counts = batches[0].counts;
    assert_eq!(
        (counts.data, counts.copied),
        (2, 1),
        "the second copy comes from the new place"
    );
    let mut memory = Memory::from([((1, 0), old.to_vec())]);
    apply(&mut Decoder::new(), &mut memory, &batches[0].bytes).unwrap();
    assert!(memory[&(1, PAGE)] == old && memory[&(2, 0)] == old && memory[&(1, 0)] == content(2));
}

#[test]
fn forgotten_pages_are_sent_again() {
    let page = content(1);
    for (forget, copied) in [(0, 1), (1, 0), (2, 1), (3, 0)] {
        let mut encoder = Encoder::new();
        send(&mut encoder, &[((1, 0), page)], &[Codec::None], false, 100);
        match forget {
            1 => encoder.forget_process(1),
            2 => encoder.forget_process(2),
            3 => encoder.forget(),
            _ => {}
        }
        let batches = send(&mut encoder, &[((2, 0), page)], &[Codec::None], false, 100);
        assert_eq!(batches[0].counts.copied, copied, "{forget}");
    }
}

#[test]
fn runs_of_pages_become_one_operation() {
    let mut encoder = Encoder::new();
    let pages: Vec<_> = (0..60).map(|at| ((1, at * PAGE), unlike(at))).collect();
    send(&mut encoder, &pages, &[Codec::None], false, 100);
    let child: Vec<_> = pages.iter().map(|((_, at), page)| ((2, *at), *page)).collect();
    let batches = send(&mut encoder, &child, &[Codec::None], false, 100);
    assert_eq!(batches[0].bytes.len(), 20 + 29);
    let zeros: Vec<_> = (0..5000).map(|at| ((3, at * PAGE), [0; 4096])).collect();
    let batches = send(&mut encoder, &zeros, &[Codec::None], false, usize::MAX);
    assert_eq!(batches[0].bytes.len(), 20 + 17);
    let mut memory = Memory::new();
    apply(&mut Decoder::new(), &mut memory, &batches[0].bytes).unwrap();
    assert_eq!(memory.len(), 5000);
}

fn unlike(number: u64) -> [u8; 4096] {
    let mut page = content(1);
    page[..8].copy_from_slice(&number.to_le_bytes());
    page
}

#[test]
fn batches_are_bounded_by_what_they_ask_for() {
    let bound = u64::from(MAX_COPIED_PAGES);
    let all = |pages| PageRange { start: 0, pages };
    let mut encoder = Encoder::new();
    encoder
        .begin_round([
            (1, all(bound)),
            (2, all(bound + 1)),
            (3, all(u64::from(MAX_ZERO_PAGES))),
        ])
        .unwrap();
    let mut taken = 0;
    for at in 0..bound {
        encoder.push(1, at * PAGE, &unlike(at)).unwrap();
        if encoder.full() {
            taken += encoder.take(Codec::None).unwrap().counts.data;
        }
    }
    taken += encoder.take(Codec::None).map_or(0, |batch| batch.counts.data);
    assert_eq!(taken, bound);
    for at in 0..bound {
        assert!(!encoder.full());
        encoder.push(2, at * PAGE, &unlike(at)).unwrap();
    }
    assert!(encoder.full());
    assert_eq!(encoder.push(2, bound * PAGE, &content(1)), Err(EncodeError::Full));
    let batch = encoder.take(Codec::None).unwrap();
    assert_eq!((batch.counts.copied, batch.bytes.len()), (bound, 20 + 29));
    for at in 0..u64::from(MAX_ZERO_PAGES) {
        assert!(!encoder.full());
        encoder.push(3, at * PAGE, &[0; 4096]).unwrap();
    }
    assert!(encoder.full());
    let batch = encoder.take(Codec::None).unwrap();
    assert!(Decoder::new().decode(&batch.bytes).is_ok());
}

#[test]
fn misuse_is_refused() {
    let page = content(1);
    let mut encoder = Encoder::new();
    assert_eq!(encoder.push(1, 0, &page), Err(EncodeError::NoRound));
    encoder.begin_round([(1, one_page(0))]).unwrap();
    assert!(encoder.take(Codec::Lz4).is_none(), "nothing is no batch");
    assert_eq!(encoder.push(1, PAGE, &page).unwrap_err().reason(), "PageNotDue");
    assert_eq!(encoder.push(2, 0, &page).unwrap_err().reason(), "PageNotDue");
    encoder.push(1, 0, &page).unwrap();
    assert_eq!(
        encoder.push(1, 0, &page).unwrap_err().reason(),
        "PageNotDue",
        "twice"
    );
    assert_eq!(encoder.begin_round([]), Err(EncodeError::Pending));
    assert_eq!(encoder.begin_frozen_round(), Err(EncodeError::Pending));
    encoder.take(Codec::None).unwrap();
    for (pid, start, pages) in [
        (0, 0, 1),
        (-1, 0, 1),
        (1 << 23, 0, 1),
        (1, 1, 1),
        (1, USER_END, 1),
        (1, 0, u64::MAX),
        (1, u64::MAX - 4095, 1),
    ] {
        let error = encoder
            .begin_round([(pid, PageRange { start, pages })])
            .unwrap_err();
        assert_eq!(error.reason(), "NotAPage", "{pid} {start} {pages}");
        assert_eq!(encoder.push(1, 0, &page), Err(EncodeError::NoRound));
    }
    encoder.begin_frozen_round().unwrap();
    encoder.push(1, 0, &page).unwrap();
    encoder.push(1, 0, &page).unwrap();
}

/// Batches made by hand, one for each reason.
#[test]
fn every_refusal_has_its_reason() {
    let op = |kind: u8, pid: u32, start: u64, pages: u32| {
        let mut op = vec![kind];
        op.extend_from_slice(&pid.to_le_bytes());
        op.extend_from_slice(&start.to_le_bytes());
        op.extend_from_slice(&pages.to_le_bytes());
        op
    };
    let copy = |pid: u32, start: u64, pages: u32, from: (u32, u64)| {
        let mut op = op(3, pid, start, pages);
        op.extend_from_slice(&from.0.to_le_bytes());
        op.extend_from_slice(&from.1.to_le_bytes());
        op
    };
    let batch = |codec: u8, pages: u32, body: u32, bytes: &[u8]| {
        let mut batch = vec![b'G', b'M', 1, codec, 1, 0, 0, 0];
        batch.extend_from_slice(&pages.to_le_bytes());
        batch.extend_from_slice(&body.to_le_bytes());
        batch.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
        batch.extend_from_slice(bytes);
        batch
    };
    let plain = |bytes: &[u8]| batch(0, 0, u32::try_from(bytes.len()).unwrap(), bytes);
    let with_page = |ops: &[u8]| {
        let bytes = [&[7; 4096][..], ops].concat();
        batch(0, 1, u32::try_from(bytes.len()).unwrap(), &bytes)
    };
    let mut other_version = plain(&op(1, 1, 0, 1));
    other_version[2] = 2;
    let cases = [
        (b"GM".to_vec(), "BatchLength"),
        (b"XM\x01\0aaaabbbbccccdddd".to_vec(), "NotABatch"),
        (other_version, "BatchVersion"),
        (batch(3, 0, 17, &op(1, 1, 0, 1)), "UnknownCompression"),
        (batch(0, 0, 18, &op(1, 1, 0, 1)), "BatchLength"),
        (batch(1, 0, u32::MAX, &[0; 10]), "BatchTooLarge"),
        (batch(1, 0, 262_125, &[0; 10]), "BatchTooLarge"),
        (batch(1, 64, 262_124, &[0; 10]), "BatchTooLarge"),
        (batch(1, 0, 100, &[0; 10]), "BatchDamaged"),
        (batch(2, 0, 100, &[0; 10]), "BatchDamaged"),
        (
            batch(1, 0, 300, &lz4_flex::block::compress(&[0; 200])),
            "BatchDamaged",
        ),
        (
            batch(1, 0, 100, &lz4_flex::block::compress(&[0; 200])),
            "BatchDamaged",
        ),
        (
            batch(2, 0, 300, &zstd::bulk::compress(&[0; 200], 1).unwrap()),
            "BatchDamaged",
        ),
        (
            batch(2, 0, 100, &zstd::bulk::compress(&[0; 200], 1).unwrap()),
            "BatchDamaged",
        ),
        (plain(&op(1, 1, 0, 1)[..16]), "MalformedBatch"),
        (plain(&op(4, 1, 0, 1)), "MalformedBatch"),
        (plain(&op(2, 1, 0, 1)), "MalformedBatch"),
        (with_page(&op(1, 1, 0, 1)), "MalformedBatch"),
        (with_page(&op(2, 1, 0, 2)), "MalformedBatch"),
        (plain(&copy(1, 0, 2, (1, PAGE))), "MalformedBatch"),
        (plain(&copy(1, PAGE, 2, (1, 0))), "MalformedBatch"),
        (plain(&op(1, 0, 0, 1)), "BatchPid"),
        (plain(&copy(1, 0, 1, (1 << 23, 0))), "BatchPid"),
        (plain(&op(1, 1, 1, 1)), "BatchAddress"),
        (plain(&op(1, 1, 0, 0)), "BatchAddress"),
        (plain(&op(1, 1, USER_END, 1)), "BatchAddress"),
        (plain(&op(1, 1, USER_END - PAGE, 2)), "BatchAddress"),
        (plain(&op(1, 1, u64::MAX - 4095, u32::MAX)), "BatchAddress"),
        (plain(&copy(1, 0, 1, (1, USER_END))), "BatchAddress"),
        (plain(&op(1, 1, 0, MAX_ZERO_PAGES + 1)), "BatchTooLarge"),
        (plain(&copy(1, 0, MAX_COPIED_PAGES + 1, (2, 0))), "BatchTooLarge"),
    ];
    let mut decoder = Decoder::new();
    for (at, (bytes, reason)) in cases.iter().enumerate() {
        let error = decoder.decode(bytes).unwrap_err();
        assert_eq!(error.reason(), *reason, "case {at}: {error}");
    }
    assert!(decoder.decode(&with_page(&op(2, 1, USER_END - PAGE, 1))).is_ok());
    assert!(decoder.decode(&plain(&copy(1, 0, 1, (1, PAGE)))).is_ok());
}
