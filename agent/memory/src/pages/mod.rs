//! Reading pages of another process.
//!
//! `/proc/PID/mem` gives what no other way does: pages of mappings without any permission (`process_vm_readv` refuses those). A page
//! that cannot be read (a guard page, one that was unmapped meanwhile) is passed over alone, never a whole region with it. A page that
//! was dropped meanwhile reads as zeros, which it is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::range::{PAGE, PAGE_BYTES, PageRange};

/// Bytes read at once.
const CHUNK: usize = 1024 * 1024;

/// Why pages could not be read. Pages and processes that have gone are no error.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The memory of the process could not be opened.
    #[error("opening the memory of process {pid}")]
    Open {
        /// The process.
        pid: i32,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It could not be read, for another reason than that a page is not there.
    #[error("reading the memory of process {pid} at {address:#x}")]
    Read {
        /// The process.
        pid: i32,
        /// Where.
        address: u64,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl ReadError {
    /// A stable name of the error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Open { .. } => "MemoryOpenFailed",
            Self::Read { .. } => "MemoryReadFailed",
        }
    }
}

/// The memory of one process, as it was when this was opened: after an `exec` there is nothing in it any more.
#[derive(Debug)]
pub struct Reader {
    pid: i32,
    memory: File,
}

impl Reader {
    /// Opens the memory of a process. `None` if it has ended. The caller needs the right to trace it.
    pub fn open(pid: i32) -> Result<Option<Self>, ReadError> {
        match File::open(format!("/proc/{pid}/mem")) {
            Ok(memory) => Ok(Some(Self { pid, memory })),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Ok(None),
            Err(source) => Err(ReadError::Open { pid, source }),
        }
    }

    /// Reads the pages of a range, in order, and hands each that can be read to `page` with its address. `buffer` is only working space,
    /// kept from call to call (1 MiB). Gives how many pages were read.
    pub fn read(
        &self,
        range: PageRange,
        buffer: &mut Vec<u8>,
        mut page: impl FnMut(u64, &[u8; PAGE_BYTES]),
    ) -> Result<u64, ReadError> {
        buffer.resize(CHUNK, 0);
        let mut at = range.start;
        let mut read = 0;
        while at < range.end() {
            let wanted = usize::try_from(range.end() - at).map_or(CHUNK, |left| left.min(CHUNK));
            let Some(space) = buffer.get_mut(..wanted) else {
                break;
            };
            let length = match self.memory.read_at(space, at) {
                // The memory is gone altogether.
                Ok(0) => break,
                Ok(length) => length - length % PAGE_BYTES,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => continue,
                    Some(libc::EIO | libc::EFAULT) => 0,
                    _ => {
                        return Err(ReadError::Read {
                            pid: self.pid,
                            address: at,
                            source: error,
                        });
                    }
                },
            };
            let (pages, _) = space[..length].as_chunks::<PAGE_BYTES>();
            for content in pages {
                page(at, content);
                at += PAGE;
                read += 1;
            }
            if pages.is_empty() {
                at += PAGE;
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Reader {
        Reader::open(i32::try_from(std::process::id()).unwrap())
            .unwrap()
            .unwrap()
    }

    #[test]
    fn reads_own_memory() {
        // Two pages are inside of these three, wherever they begin.
        let bytes = vec![0x5a_u8; 3 * PAGE_BYTES];
        let start = (bytes.as_ptr().addr() as u64).next_multiple_of(PAGE);
        let mut seen = Vec::new();
        let count = own()
            .read(PageRange { start, pages: 2 }, &mut Vec::new(), |address, page| {
                seen.push((address, page.iter().all(|&byte| byte == 0x5a)));
            })
            .unwrap();
        assert_eq!(count, 2);
        assert_eq!(seen, [(start, true), (start + PAGE, true)]);
    }

    #[test]
    fn pages_that_are_not_there_are_passed_over() {
        let count = own()
            .read(PageRange { start: 0, pages: 3 }, &mut Vec::new(), |_, _| {
                panic!("nothing is mapped there")
            })
            .unwrap();
        assert_eq!(count, 0);
    }

    #[test]
    fn ended_processes_are_none() {
        assert!(Reader::open(i32::MAX).unwrap().is_none());
    }
}
