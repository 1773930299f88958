//! A store in a tmpfs, written and read.

use super::*;
use crate::range::{PAGE, PageRange};

const HIGH: u64 = 0x7fff_ffff_0000;

fn range(start: u64, pages: u64) -> PageRange {
    PageRange { start, pages }
}

fn tmpfs() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

#[test]
fn the_last_write_wins_and_zeros_are_holes() {
    let dir = tmpfs();
    let store = Store::create(&dir.path().join("store")).unwrap();
    store.write(1, HIGH, &[1; 3 * 4096]).unwrap();
    store.write(1, HIGH + PAGE, &[2; 4096]).unwrap();
    store.zero(1, range(HIGH + 2 * PAGE, 2)).unwrap();
    store.copy(2, 0x10000, (1, HIGH + PAGE)).unwrap();
    let page = |pid, at| {
        let mut page = [9; 4096];
        store.read(pid, at, &mut page).unwrap();
        assert!(page.iter().all(|byte| *byte == page[0]));
        page[0]
    };
    assert_eq!([0, 1, 2, 3, 4].map(|i| page(1, HIGH + i * PAGE)), [1, 2, 0, 0, 0]);
    assert_eq!(page(2, 0x10000), 2);
    assert_eq!(
        store.missing(1, &[range(HIGH - PAGE, 6)]),
        [range(HIGH - PAGE, 1), range(HIGH + 4 * PAGE, 1)]
    );
    assert_eq!(store.missing(3, &[range(HIGH, 1)]), [range(HIGH, 1)]);

    let source = Source::open(store.dir(), 1).unwrap().unwrap();
    let mut window = Window::default();
    let first = window.segment(&source, HIGH, HIGH + 8 * PAGE).unwrap();
    assert_eq!((first.end, first.data), (HIGH + 2 * PAGE, true));
    let second = window.segment(&source, first.end, HIGH + 8 * PAGE).unwrap();
    assert_eq!((second.end, second.data), (HIGH + 8 * PAGE, false));
    source.release(range(HIGH, 1)).unwrap();
    assert!(!window.segment(&source, HIGH, HIGH + PAGE).unwrap().data);
    assert!(Source::open(store.dir(), 7).unwrap().is_none());
}

#[test]
fn nonsense_is_refused() {
    let dir = tmpfs();
    let store = Store::create(dir.path()).unwrap();
    let page = [0; 4096];
    for error in [
        store.write(1, 1, &page),
        store.write(1, 1 << 57, &page),
        store.write(1, PAGE, &page[1..]),
        store.write(1, PAGE, &[]),
        store.zero(1, range(0, 1 << 40)),
        store.zero(1, range(PAGE, u64::MAX)),
    ] {
        assert_eq!(error.unwrap_err().reason(), "PageAddressInvalid");
    }
    assert_eq!(
        store.write(-1, PAGE, &page).unwrap_err().reason(),
        "PageStoreTooLarge"
    );
    store.write(1, PAGE, &page).unwrap();
    for from in [(2, PAGE), (1, 2 * PAGE)] {
        assert_eq!(store.copy(1, PAGE, from).unwrap_err().reason(), "PagesMissing");
    }
}

#[test]
fn a_hostile_range_of_zeros_is_bounded() {
    let dir = tmpfs();
    let store = Store::create(dir.path()).unwrap();
    let error = (0..64)
        .map(|i| store.zero(1, range(i << 40, 1 << 28)))
        .find_map(Result::err)
        .unwrap();
    assert_eq!(error.reason(), "PageStoreTooLarge");
}
