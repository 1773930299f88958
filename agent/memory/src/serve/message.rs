//! Messages of a userfaultfd (`struct uffd_msg` of `linux/userfaultfd.h`).

/// Bytes of a message.
pub(super) const SIZE: usize = 32;

/// What a userfaultfd has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// Someone touches a page that is missing.
    Fault { address: u64 },
    /// The process has forked; the descriptor stands for the child and was made by the read itself.
    Fork { uffd: i32 },
    /// A mapping has moved.
    Remap { from: u64, to: u64, len: u64 },
    /// The pages were given up (`MADV_DONTNEED` and the like) and read as zeros from now on.
    Remove { start: u64, end: u64 },
    /// The pages are mapped no longer.
    Unmap { start: u64, end: u64 },
    /// Nothing, or nothing known.
    None,
}

/// Understands a message, given as four words.
pub(super) fn parse(words: [u64; SIZE / 8]) -> Message {
    match words[0].to_ne_bytes()[0] {
        0x12 => Message::Fault { address: words[2] },
        0x13 => {
            let [a, b, c, d, ..] = words[1].to_ne_bytes();
            Message::Fork {
                uffd: i32::from_ne_bytes([a, b, c, d]),
            }
        }
        0x14 => Message::Remap {
            from: words[1],
            to: words[2],
            len: words[3],
        },
        0x15 => Message::Remove {
            start: words[1],
            end: words[2],
        },
        0x16 => Message::Unmap {
            start: words[1],
            end: words[2],
        },
        _ => Message::None,
    }
}
