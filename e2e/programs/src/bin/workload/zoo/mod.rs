//! Processes, threads and kernel objects of many kinds, each of which checks again and again that it is what it was.
//!
//! The control port answers `ok NAME=ROUNDS …`, or `broken NAME: WHAT`.

mod children;
mod objects;
mod open_files;
mod self_image;
mod signals;
mod sockets;
mod threads;

use crate::board::Board;
use crate::{Failure, control};

/// Run until the container is ended.
pub(crate) fn zoo(port: u16) -> Result<(), Failure> {
    let board = Board::default();
    // Before there are threads: children are forked, and signals are blocked for all that come later.
    let family = children::start()?;
    signals::block()?;
    children::keep(&board, family);
    signals::keep(&board)?;
    self_image::keep(&board)?;
    threads::keep(&board);
    objects::keep(&board)?;
    open_files::keep(&board)?;
    sockets::keep(&board)?;
    control::answer_on(port, move |_| board.told())
}
