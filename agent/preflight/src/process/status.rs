//! `/proc/PID/status` (`proc_pid_status(5)`).

use std::path::Path;

use godwit_proc::bounded;
use godwit_proc::field::{fields, number, unescape};

const LIMIT: usize = 64 << 10;

/// The fields that matter here.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    /// `comm`, the kernel's escapes undone.
    pub(crate) name: Vec<u8>,
    /// One letter: `R`, `S`, `D`, `T`, `t`, `Z`, `X`.
    pub(crate) state: u8,
    /// Who traces it; 0: nobody, or somebody outside of the reader's PID namespace.
    pub(crate) tracer: u32,
    /// Its PID in each PID namespace, the reader's first.
    pub(crate) inside: Vec<u32>,
    /// How often it has given its processor away: equal at two looks, it has not run in between.
    pub(crate) switches: u64,
}

impl Status {
    pub(crate) fn read(process: &Path) -> Option<Self> {
        Self::parse(&bounded::read_start(&process.join("status"), LIMIT).ok()?)
    }

    /// None: it is not of the kernel's form.
    fn parse(text: &[u8]) -> Option<Self> {
        let mut status = Self::default();
        for line in text.split(|&byte| byte == b'\n') {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else {
                continue;
            };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            let numbers = || fields(value).filter_map(|field| u32::try_from(number(field, 10)?).ok());
            match name {
                b"Name" => status.name = unescape(value),
                b"State" => status.state = *value.first()?,
                b"TracerPid" => status.tracer = numbers().next()?,
                b"voluntary_ctxt_switches" | b"nonvoluntary_ctxt_switches" => {
                    status.switches = status.switches.saturating_add(number(value, 10)?);
                }
                b"NSpid" => status.inside = numbers().collect(),
                _ => {}
            }
        }
        (status.state != 0).then_some(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_form_is_understood() {
        let text = b"Name:\ta\\012b c\nUmask:\t0022\nState:\tS (sleeping)\nTracerPid:\t7\nNSpid:\t4711\t12\nSeccomp:\t2\nvoluntary_ctxt_switches:\t40\nnonvoluntary_ctxt_switches:\t2\n";
        let status = Status::parse(text).unwrap();
        assert_eq!(status.name, b"a\nb c");
        assert_eq!((status.state, status.tracer), (b'S', 7));
        assert_eq!(
            (status.inside.as_slice(), status.switches),
            ([4711, 12].as_slice(), 42)
        );
        assert_eq!(Status::parse(b""), None);
        assert_eq!(Status::parse(b"State:\n"), None);
    }

    #[test]
    fn this_process_runs_and_one_that_is_gone_has_none() {
        assert_eq!(Status::read(Path::new("/proc/thread-self")).unwrap().state, b'R');
        assert_eq!(Status::read(Path::new("/proc/4294967295")), None);
    }
}
