//! Registers of a stopped task on x86-64.
//!
//! Restarting system calls is left to the kernel: the registers go back while the task is inside the kernel's own signal handling, so the
//! kernel restarts an interrupted call, or ends it with `EINTR`, by its own rules (`arch_do_signal_or_restart`,
//! arch/x86/kernel/signal.c, looks at them after that stop). Only calls that do not know restarting get its mark here
//! ([`Registers::to_resume`]).

use super::blocked::Blocked;

/// `syscall`.
pub const INSTRUCTION: &[u8] = &[0x0f, 0x05];

/// Instructions may begin at any byte.
pub const ALIGNMENT: usize = 1;

/// Selector of 64-bit user code (`__USER_CS`); 32-bit code has another.
const CODE_SEGMENT: u64 = 0x33;

/// Calls that end with `EINTR` for any interruption, even one without a signal, and can simply be made again (signal(7), "Interruption of
/// system calls and library functions by stop signals"): semop, `rt_sigtimedwait`, `io_getevents`, `semtimedop`, `epoll_wait`, `epoll_pwait`, `io_pgetevents`,
/// `epoll_pwait2`. Servers spend their lives in `epoll_wait`; a time limit of such a call begins anew.
const WITHOUT_RESTART: [u64; 8] = [65, 128, 208, 220, 232, 281, 333, 441];

/// `ERESTARTNOHAND`: made again, or `EINTR` if a signal is handled.
const RESTART_WITHOUT_HANDLER: i64 = -514;

/// `user_regs_struct` of this architecture (`arch/x86/include/asm/user_64.h`), as `PTRACE_GETREGSET` gives it for `NT_PRSTATUS`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Registers {
    callee_saved: [u64; 6],
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rax: u64,
    rcx: u64,
    rdx: u64,
    rsi: u64,
    rdi: u64,
    orig_rax: u64,
    rip: u64,
    cs: u64,
    eflags: u64,
    rsp: u64,
    ss: u64,
    segments: [u64; 6],
}

impl Registers {
    /// Whether the task runs 64-bit code.
    pub fn is_native(&self) -> bool {
        self.cs == CODE_SEGMENT
    }

    /// These registers, made ready to run the system call `number` with one argument by the instruction at `at`.
    ///
    /// `orig_rax` of -1 keeps the kernel from taking the registers for those of an interrupted call.
    #[must_use]
    pub fn for_call(&self, at: u64, number: u64, argument: u64) -> Self {
        Self {
            rip: at,
            rax: number,
            orig_rax: u64::MAX,
            rdi: argument,
            rsi: 0,
            rdx: 0,
            ..*self
        }
    }

    /// What a system call has just returned; errors are negative.
    pub fn result(&self) -> i64 {
        self.rax.cast_signed()
    }

    /// Address of the next instruction.
    pub fn position(&self) -> u64 {
        self.rip
    }

    /// The same with another next instruction.
    #[must_use]
    pub fn at(&self, position: u64) -> Self {
        Self {
            rip: position,
            ..*self
        }
    }

    /// What has to be put back so that an interrupted call goes on: the registers as they were, or with the mark of a call to be made
    /// again if it ended only because of the interruption. (On this architecture the registers say all that is needed.)
    #[must_use]
    pub fn to_resume(self, _blocked: Option<Blocked>) -> Self {
        let mut registers = self;
        if self.result() == -i64::from(libc::EINTR) && WITHOUT_RESTART.contains(&self.orig_rax) {
            registers.rax = RESTART_WITHOUT_HANDLER.cast_unsigned();
        }
        registers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interrupted() -> Registers {
        Registers {
            rax: (-516_i64).cast_unsigned(),
            orig_rax: 35,
            rip: 0x1002,
            rdi: 7,
            rsi: 8,
            rsp: 0x7fff_0000,
            cs: CODE_SEGMENT,
            ..Registers::default()
        }
    }

    #[test]
    fn has_the_size_the_kernel_gives() {
        assert_eq!(size_of::<Registers>(), 27 * 8);
    }

    #[test]
    fn a_call_is_not_taken_for_an_interrupted_one_and_keeps_the_stack() {
        let call = interrupted().for_call(0x5000, 323, 1);
        assert_eq!(call.orig_rax, u64::MAX, "the kernel restarts nothing");
        assert_eq!(
            (call.rip, call.rax, call.rdi, call.rsp),
            (0x5000, 323, 1, 0x7fff_0000)
        );
        assert!(call.is_native());
    }

    #[test]
    fn interrupted_calls_are_put_back_as_they_were_for_the_kernel_to_judge() {
        for error in [-512, -513, -514, -516_i64] {
            let before = Registers {
                rax: error.cast_unsigned(),
                ..interrupted()
            };
            assert_eq!(before.to_resume(None), before);
            assert_eq!(before.result(), error);
        }
    }

    #[test]
    fn calls_that_ended_for_nothing_are_marked_to_be_made_again() {
        let ended = |number: u64, result: i64| Registers {
            orig_rax: number,
            rax: result.cast_unsigned(),
            ..interrupted()
        };
        for number in WITHOUT_RESTART {
            assert_eq!(ended(number, -4).to_resume(None), ended(number, -514));
            assert_eq!(
                ended(number, 1).to_resume(None),
                ended(number, 1),
                "it had a result"
            );
        }
        assert_eq!(
            ended(0, -4).to_resume(None),
            ended(0, -4),
            "read is not one of them"
        );
        assert_eq!(
            ended(u64::MAX, -4).to_resume(None),
            ended(u64::MAX, -4),
            "in no call"
        );
    }

    #[test]
    fn other_code_is_recognised() {
        let task = Registers {
            cs: 0x23,
            ..interrupted()
        };
        assert!(!task.is_native());
    }
}
