//! Files that are open: with a position, removed, locked; folders that are open.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use crate::Failure;
use crate::board::{Board, same};

pub(super) fn keep(board: &Board) -> Result<(), Failure> {
    let open = |path: &str| {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
    };
    let mut unlinked = open("/tmp/zoo-unlinked")?;
    fs::remove_file("/tmp/zoo-unlinked")?;
    unlinked.set_len(300_000)?;
    board.keep("an unlinked file", move |round| {
        same("links", unlinked.metadata()?.nlink(), 0)?;
        if round > 1 {
            let mut found = [0; 8];
            unlinked.read_exact_at(&mut found, round % 1000 * 16)?;
            let mut before = [0; 8];
            unlinked.read_exact_at(&mut before, (round - 1) % 1000 * 16)?;
            same(
                "what the round before wrote",
                u64::from_le_bytes(before),
                round - 1,
            )?;
            same(
                "what a thousand rounds ago wrote",
                u64::from_le_bytes(found),
                round.saturating_sub(1000),
            )?;
            same(
                "its position",
                unlinked.stream_position()?,
                (round - 1) % 1000 * 16 + 8,
            )?;
        }
        unlinked.seek(SeekFrom::Start(round % 1000 * 16))?;
        unlinked.write_all(&round.to_le_bytes())?;
        same("its length", unlinked.metadata()?.len(), 300_000)
    });
    let mut linked = open("/tmp/zoo-linked")?;
    linked.write_all(&[b'x'; 5000])?;
    linked.seek(SeekFrom::Start(0))?;
    board.keep("a position in a file", move |round| {
        same("the position", linked.stream_position()?, (round - 1) * 7 % 4900)?;
        let mut found = [0; 7];
        linked.read_exact(&mut found)?;
        same("the bytes", found, [b'x'; 7])?;
        linked.seek(SeekFrom::Start(round * 7 % 4900))?;
        same(
            "the file",
            fs::metadata("/tmp/zoo-linked")?.ino(),
            linked.metadata()?.ino(),
        )
    });
    let locked = open("/tmp/zoo-locked")?;
    locked.lock()?;
    board.keep("a lock", move |_| {
        let again = File::open("/tmp/zoo-locked")?;
        let got = again.try_lock().is_ok();
        same("another descriptor gets it", got, false)?;
        locked.metadata().map(drop).map_err(Into::into)
    });
    fs::create_dir_all("/tmp/zoo-open")?;
    let folder = File::open("/tmp/zoo-open")?;
    board.keep("an open folder", move |_| {
        same(
            "its number",
            folder.metadata()?.ino(),
            fs::metadata("/tmp/zoo-open")?.ino(),
        )
    });
    Ok(())
}
