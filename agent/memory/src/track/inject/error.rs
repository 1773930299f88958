//! Why no userfaultfd could be had from a process.

use std::io;

/// Why an injection failed. The process goes on as if nothing had been tried.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    /// It has ended, or ended meanwhile.
    #[error("the process has ended")]
    Gone,
    /// `PTRACE_SEIZE` was refused.
    #[error("the process may not be traced")]
    Refused(#[source] io::Error),
    /// None of the threads tried came to a stop in time (uninterruptible sleep, or frozen).
    #[error("no thread of the process came to a stop in time")]
    NotStopped,
    /// It runs code of another architecture (32 bits).
    #[error("the process runs code of another architecture")]
    ForeignCode,
    /// It has a seccomp filter, and the filter cannot be suspended: the injected call might kill the process.
    #[error("the seccomp filter of the process cannot be suspended")]
    SeccompStays,
    /// No instruction that enters the kernel was found in its vdso.
    #[error("the process has no vdso with a system call instruction")]
    NoInstruction,
    /// The injected `userfaultfd` call failed.
    #[error("the process cannot make a userfaultfd")]
    Userfaultfd(#[source] io::Error),
    /// The new descriptor could not be taken over.
    #[error("the descriptor of the process cannot be taken over")]
    Descriptor(#[source] io::Error),
    /// The process did not come back from the injected call in time, for instance because somebody froze it just then. A helper process
    /// stays until it does and puts everything back.
    #[error("the process did not come back from the injected call in time")]
    Stuck,
    /// A step of ptrace failed.
    #[error("ptrace failed at step {step}")]
    Step {
        /// Which one.
        step: i32,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
    /// The helper process could not be started or died.
    #[error("the helper process of the injection failed")]
    Helper(#[source] io::Error),
}

impl InjectError {
    /// A stable name of the error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Gone => "ProcessGone",
            Self::Refused(_) => "TraceRefused",
            Self::NotStopped => "NotStopped",
            Self::ForeignCode => "ForeignCode",
            Self::SeccompStays => "SeccompStays",
            Self::NoInstruction => "NoInstruction",
            Self::Userfaultfd(_) => "UserfaultfdRefused",
            Self::Descriptor(_) => "DescriptorRefused",
            Self::Stuck => "InjectionStuck",
            Self::Step { .. } => "TraceFailed",
            Self::Helper(_) => "HelperFailed",
        }
    }
}
