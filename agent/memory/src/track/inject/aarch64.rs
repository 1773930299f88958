//! Registers of a stopped task on aarch64.
//!
//! Here the kernel rewinds an interrupted call *before* the stop becomes visible (`do_signal`, arch/arm64/kernel/signal.c): the
//! program counter is already at the `svc` again, and the first argument is back. Only the choice of `restart_syscall` for calls with
//! a relative time is made after the stop, from a local variable which is lost when the task runs something else in between;
//! [`Registers::to_resume`] makes that choice. A signal that arrives during the injection finds a call that restarts, even if its
//! handler asks for `EINTR`; nothing visible from outside tells one from the other.

use super::blocked::Blocked;

/// `svc #0`, little-endian.
pub const INSTRUCTION: &[u8] = &[0x01, 0x00, 0x00, 0xd4];

/// Instructions are four bytes and aligned.
pub const ALIGNMENT: usize = 4;

/// `PSR_MODE32_BIT`.
const MODE_32: u64 = 0x10;

/// `PSR_BTYPE_MASK`: a branch target is checked at the next instruction.
const BRANCH_TYPE: u64 = 0xc00;

/// `__NR_restart_syscall` of the generic table.
const RESTART_SYSCALL: u64 = 128;

/// Calls that end with `EINTR` for any interruption, even one without a signal, and can simply be made again: `epoll_pwait`,
/// `epoll_pwait2`, semop, semtimedop, `rt_sigtimedwait`, `io_getevents`, `io_pgetevents`.
const WITHOUT_RESTART: [u64; 7] = [22, 441, 193, 192, 137, 4, 292];

/// Calls which the kernel interrupts with `ERESTART_RESTARTBLOCK`: futex, nanosleep, `clock_nanosleep`.
const WITH_RESTART_BLOCK: [u64; 3] = [98, 101, 115];

/// `user_pt_regs` of aarch64 (arch/arm64/include/uapi/asm/ptrace.h), as `PTRACE_GETREGSET` gives it for `NT_PRSTATUS`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Registers {
    x: [u64; 31],
    sp: u64,
    pc: u64,
    pstate: u64,
}

impl Registers {
    /// Whether the task runs 64-bit code.
    pub fn is_native(&self) -> bool {
        self.pstate & MODE_32 == 0
    }

    /// These registers, made ready to run the system call `number` with one argument by the instruction at `at`.
    ///
    /// `x7` stays: the kernel lends it to tracers at the stops of a call and puts the old value back.
    #[must_use]
    pub fn for_call(&self, at: u64, number: u64, argument: u64) -> Self {
        let mut call = *self;
        call.pc = at;
        call.pstate &= !BRANCH_TYPE;
        call.x[0] = argument;
        call.x[1] = 0;
        call.x[2] = 0;
        call.x[8] = number;
        call
    }

    /// What a system call has just returned; errors are negative.
    pub fn result(&self) -> i64 {
        self.x[0].cast_signed()
    }

    /// Address of the next instruction.
    pub fn position(&self) -> u64 {
        self.pc
    }

    /// The same with another next instruction.
    #[must_use]
    pub fn at(&self, position: u64) -> Self {
        Self {
            pc: position,
            ..*self
        }
    }

    /// What has to be put back so that an interrupted call goes on. `blocked` is the call in which the task was seen before it was
    /// interrupted: if it is still at that very call and the call keeps its remaining time in the kernel, that time goes on; if the
    /// call ended only because of the interruption, it is made again.
    #[must_use]
    pub fn to_resume(self, blocked: Option<Blocked>) -> Self {
        let mut registers = self;
        let Some(call) = blocked.filter(|call| self.x[8] == call.number && self.sp == call.stack) else {
            return registers;
        };
        if self.pc.wrapping_add(4) == call.position && WITH_RESTART_BLOCK.contains(&call.number) {
            registers.x[8] = RESTART_SYSCALL;
        }
        if self.pc == call.position
            && self.result() == -i64::from(libc::EINTR)
            && WITHOUT_RESTART.contains(&call.number)
        {
            registers.pc = self.pc.wrapping_sub(4);
            registers.x[0] = call.argument;
        }
        registers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asleep(number: u64) -> (Registers, Blocked) {
        let mut registers = Registers {
            sp: 0x7fff_0000,
            pc: 0x1000,
            ..Registers::default()
        };
        registers.x[0] = 11;
        registers.x[7] = 77;
        registers.x[8] = number;
        (
            registers,
            Blocked {
                number,
                argument: 11,
                position: 0x1004,
                stack: 0x7fff_0000,
            },
        )
    }

    #[test]
    fn has_the_size_the_kernel_gives() {
        assert_eq!(size_of::<Registers>(), 34 * 8);
    }

    #[test]
    fn sleeps_go_on_with_the_time_that_is_left() {
        for number in [98, 101, 115] {
            let (registers, blocked) = asleep(number);
            let resumed = registers.to_resume(Some(blocked));
            assert_eq!(resumed.x[8], RESTART_SYSCALL);
            assert_eq!((resumed.pc, resumed.x[0]), (registers.pc, registers.x[0]));
        }
    }

    #[test]
    fn other_calls_are_simply_made_again() {
        // read, ppoll, epoll_pwait
        for number in [63, 73, 22] {
            let (registers, blocked) = asleep(number);
            assert_eq!(registers.to_resume(Some(blocked)), registers);
        }
    }

    #[test]
    fn a_task_that_has_moved_on_is_left_alone() {
        let (registers, blocked) = asleep(101);
        assert_eq!(
            registers.at(0x2000).to_resume(Some(blocked)),
            registers.at(0x2000)
        );
        assert_eq!(registers.to_resume(None), registers);
        let deeper = Blocked {
            stack: 0x7ffe_0000,
            ..blocked
        };
        assert_eq!(registers.to_resume(Some(deeper)), registers);
        let other = Blocked {
            number: 115,
            ..blocked
        };
        assert_eq!(registers.to_resume(Some(other)), registers);
    }

    #[test]
    fn calls_that_ended_for_nothing_are_made_again() {
        for number in WITHOUT_RESTART {
            let (mut registers, blocked) = asleep(number);
            registers.pc = 0x1004;
            registers.x[0] = (-4_i64).cast_unsigned();
            let resumed = registers.to_resume(Some(blocked));
            assert_eq!((resumed.pc, resumed.x[0], resumed.x[8]), (0x1000, 11, number));
            registers.x[0] = 1;
            assert_eq!(registers.to_resume(Some(blocked)), registers, "it had a result");
        }
        let (mut read, blocked) = asleep(63);
        read.pc = 0x1004;
        read.x[0] = (-4_i64).cast_unsigned();
        assert_eq!(read.to_resume(Some(blocked)), read, "not one of them");
    }

    #[test]
    fn a_call_clears_the_branch_type_and_keeps_x7() {
        let (mut registers, _) = asleep(101);
        registers.pstate = BRANCH_TYPE;
        let call = registers.for_call(0x5000, 282, 1);
        assert_eq!(
            (call.pc, call.x[8], call.x[0], call.x[7], call.pstate),
            (0x5000, 282, 1, 77, 0)
        );
        registers.pstate = MODE_32;
        assert!(!registers.is_native());
    }
}
