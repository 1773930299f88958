//! Pages as bytes: without zeros and repetitions, compressed if that is faster.
//!
//! A *batch* is one chunk of an object of the session between agents: at most [`MAX_BATCH`] bytes, and whole in itself.
//!
//! ```text
//!  0      2         3       4       8       12          16        20
//!  +------+---------+-------+-------+-------+-----------+---------+---------------------
//!  | GM   | version | codec | round | pages | body len  | encoded | body, perhaps compressed (numbers little-endian)
//!  +------+---------+-------+-------+-------+-----------+---------+---------------------
//!  body: `pages` pages of 4096 bytes, then operations to its end:
//!    1 zero  | pid u32 | address u64 | pages u32                                (17 bytes)
//!    2 data  | pid u32 | address u64 | pages u32: the next pages of the body    (17 bytes)
//!    3 copy  | pid u32 | address u64 | pages u32 | pid u32 | address u64: from  (29 bytes)
//! ```
//! Pages come first, so that an encoder writes each of them once, where it stays.
//!
//! **Order.** Rounds are barriers: every batch of a round is applied before the first of the next. In a round a page is
//! written at most once, and a copy reads a page that is either data of the same encoder in the same round, or not
//! written in this round at all; never a page that is itself a copy of this round. So a receiver may apply the batches
//! of one encoder in their order, or keep the copies until all else of the round is there. Both give the same memory.
//!
//! **Several encoders** may share out the pages of a round: each page is pushed to one of them, all begin every round with
//! everything that is dirty, and a receiver applies the batches of each in their order, whatever the order between them.
//! What may not have arrived is pushed to the same encoder again ([`Encoder::again`]), with what it holds by then; it must
//! not arrive after that.
//!
//! **Repetitions** are known by the first 128 bits of BLAKE3. A program that looks for two pages of the same hash needs
//! some 2^64 tries, and would then have damaged a page of its own container: tables are never shared between containers.
//! A fast hash without that strength would let one process of a container forge what another one finds in its memory.
//!
//! **Damage.** A batch has no checksum: the session's frame check and TLS guard it on its way. Cut or malformed batches
//! end in an error here; a changed byte inside a page does not.
//!
//! # What it costs
//! In ms of processor time for each GiB (`cargo run --release -p godwit-memory --example wire_costs`; one core of a
//! virtual AMD EPYC with AVX-512; 256 MiB of each content):
//!
//! | | live round | frozen round |
//! |---|---|---|
//! | zero pages | 19 | 14 |
//! | other pages: looked at, hashed (live only), copied | 480 to 580 | 75 to 95 |
//!
//! | codec | random: encode, size | records like a heap's: encode, size | decode |
//! |---|---|---|---|
//! | none | 4, 100 % | 4, 100 % | 3 |
//! | lz4 | 80, 100 % | 1950, 46 % | 540 |
//! | zstd | 450, 100 % | 2900, 29 % | 1100 |
//!
//! So hashing costs 450 ms for each GiB, which the freeze does without; and a link of 1 GB/s is too fast for any
//! compression. [`Chooser`] measures again in each migration.

mod chooser;
mod decode;
mod due;
mod encode;
mod error;
mod format;
mod known;
mod zero;

pub use chooser::{Chooser, thread_cpu_time};
pub use decode::{Decoder, Op, Ops, Received};
pub use encode::{Batch, Counts, Encoder};
pub use error::{EncodeError, WireError};
pub use format::{Codec, MAX_BATCH, MAX_COPIED_PAGES, MAX_PID, MAX_ZERO_PAGES, USER_END};
