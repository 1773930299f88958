//! Restartable sequences of a stopped task.
//!
//! A task that stops inside a restartable sequence has to begin it again. The kernel sees to that when the task returns to user code,
//! by the address it returns to; an injected call returns elsewhere, and the kernel forgets the sequence. The tracer therefore does
//! what the kernel would have done (include/uapi/linux/rseq.h; `rseq_ip_fixup` in kernel/rseq.c; CRIU does the same).

/// Offset of `rseq_cs` in `struct rseq`.
pub const POINTER: u64 = 8;

/// `struct rseq_cs`: version and flags, start, length, where to go on after an interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// Address of the first instruction.
    pub start: u64,
    /// Bytes up to and without the instruction after the last one.
    pub length: u64,
    /// Where an interrupted sequence goes on.
    pub abort: u64,
}

/// Where a task that was stopped at `position` has to go on, if that is inside the sequence.
pub fn restart_of(sequence: Sequence, position: u64) -> Option<u64> {
    (position.wrapping_sub(sequence.start) < sequence.length).then_some(sequence.abort)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_inside_is_restarted() {
        let sequence = Sequence {
            start: 0x1000,
            length: 0x10,
            abort: 0x9000,
        };
        assert_eq!(restart_of(sequence, 0x1000), Some(0x9000));
        assert_eq!(restart_of(sequence, 0x100f), Some(0x9000));
        assert_eq!(restart_of(sequence, 0x1010), None);
        assert_eq!(restart_of(sequence, 0xfff), None);
    }
}
