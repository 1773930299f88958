//! The system call in which a task sleeps.

/// One line of `/proc/PID/syscall` (proc(5)), for a task that sleeps in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked {
    /// The call's number.
    pub number: u64,
    /// Its first argument.
    pub argument: u64,
    /// The address behind the instruction of the call.
    pub position: u64,
    /// The stack pointer.
    pub stack: u64,
}

impl Blocked {
    /// Reads such a line: `NUMBER A0 … A5 SP PC`. `None` for a task that runs, sleeps outside of a call (number -1), or has ended.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let number = words.next()?.parse().ok()?;
        let mut address = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
        let argument = address()?;
        for _ in 1..6 {
            address()?;
        }
        let stack = address()?;
        Some(Self {
            number,
            argument,
            position: address()?,
            stack,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_sleeping_task() {
        let line = "230 0x9 0x0 0x7ffd1 0x7ffd2 0x0 0x0 0x7ffd0 0x7f5ec\n";
        assert_eq!(
            Blocked::parse(line),
            Some(Blocked {
                number: 230,
                argument: 9,
                position: 0x7_f5ec,
                stack: 0x7_ffd0
            })
        );
    }

    #[test]
    fn running_tasks_and_nonsense_are_none() {
        for line in [
            "running\n",
            "-1 0x7ffd0 0x7f5ec\n",
            "",
            "1 2 3",
            "7 0 0 0 0 0 0 x y",
        ] {
            assert_eq!(Blocked::parse(line), None, "{line}");
        }
    }
}
