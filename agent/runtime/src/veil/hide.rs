//! Laying the veil.

use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use godwit_memory::track::{Pagemap, Region, Wanted, knows_guards, pid_inside};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};
use nix::unistd::{SysconfVar, sysconf};

use super::flags;
use super::mappings::{self, Mappings};
use super::{HIDDEN, PAGE, Span, VeilError, list};
use crate::process;

/// Bytes of an entry of a pagemap.
const ENTRY: u64 = 8;
/// How much of a pagemap is copied at a time.
const CHUNK: u64 = 1 << 20;

/// Gives this process, and those that it starts, mounts of their own in `/proc`. All other mounts go on to be shared with the host as they were.
pub fn private_mounts() -> Result<(), VeilError> {
    if sysconf(SysconfVar::PAGE_SIZE) != Ok(Some(PAGE.cast_signed())) {
        return Err(VeilError::System {
            action: "hide pages of this size",
            source: Errno::ENOTSUP,
        });
    }
    unshare(CloneFlags::CLONE_NEWNS).map_err(VeilError::system("make a mount namespace"))?;
    let none: Option<&str> = None;
    mount(none, "/proc", none, MsFlags::MS_PRIVATE, none).map_err(VeilError::system("make /proc private"))
}

/// The veils of a frozen container.
///
/// A kernel that knows guard pages has CRIU ask each process for them first, by an ioctl that only a real pagemap answers. So there a
/// veil is laid when CRIU has closed that pagemap once. Before it opens it again it gets its code into the task, which takes some 5 ms.
#[derive(Debug)]
pub struct Hiding {
    watch: Option<Fanotify>,
    veils: Vec<Veil>,
}

/// The veil of one process.
#[derive(Debug)]
struct Veil {
    pagemap: PathBuf,
    /// Device and inode of the real one.
    identity: (u64, u64),
    cover: PathBuf,
    laid: bool,
}

impl Hiding {
    /// Prepares the veils of processes that are frozen. Their files are kept in `covers`, where what was noted of their mappings' flags is
    /// looked for too; the lists of hidden pages go to `images`.
    ///
    /// A process for which this is not possible is left as it is. So are all if there is an error.
    pub fn of(pids: &[i32], covers: &Path, images: &Path) -> Result<Self, VeilError> {
        let at_once = !knows_guards();
        let mut hiding = Self {
            watch: None,
            veils: Vec::new(),
        };
        for pid in pids {
            let place = PathBuf::from(format!("/proc/{pid}"));
            flags::lay(*pid, &place, covers);
            if let Some(veil) = Veil::new(*pid, &place, covers, images)? {
                hiding.veils.push(veil);
            }
        }
        if at_once {
            hiding.veils.iter_mut().for_each(Veil::lay);
            return Ok(hiding);
        }
        let flags = InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
        let watch = Fanotify::init(flags, EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC)
            .map_err(VeilError::system("watch CRIU"))?;
        for veil in &hiding.veils {
            let mask = MaskFlags::FAN_CLOSE_NOWRITE;
            watch
                .mark(
                    MarkFlags::FAN_MARK_ADD,
                    mask,
                    nix::fcntl::AT_FDCWD,
                    Some(&veil.pagemap),
                )
                .map_err(VeilError::system("watch a pagemap"))?;
        }
        hiding.watch = Some(watch);
        // From here on it matters to be in time.
        process::hurry();
        Ok(hiding)
    }

    /// Readable when [`Self::seen`] is to be called.
    pub fn events(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(AsFd::as_fd)
    }

    /// Lays the veils over those pagemaps that CRIU has closed.
    pub fn seen(&mut self, criu_pid: i32) {
        let Some(watch) = &self.watch else { return };
        let Ok(events) = watch.read_events() else {
            return;
        };
        for event in events {
            let Some(file) = event.fd().filter(|_| event.pid() == criu_pid) else {
                continue;
            };
            let Ok(status) = nix::sys::stat::fstat(file) else {
                continue;
            };
            let identity = (status.st_dev, status.st_ino);
            let veil = self.veils.iter_mut().find(|veil| veil.identity == identity);
            veil.into_iter().for_each(Veil::lay);
        }
    }
}

impl Drop for Hiding {
    fn drop(&mut self) {
        for veil in &self.veils {
            let _ = fs::remove_file(&veil.cover);
        }
    }
}

impl Veil {
    fn new(pid: i32, process: &Path, covers: &Path, images: &Path) -> Result<Option<Self>, VeilError> {
        let status = process.join("status");
        let text = fs::read_to_string(&status).map_err(VeilError::io("read", status))?;
        let Some(ns_pid) = pid_inside(&text) else {
            return Ok(None);
        };
        let Some(mappings) = mappings::of(process)? else {
            return Ok(None);
        };
        let path = process.join("pagemap");
        let real = File::open(&path).map_err(VeilError::io("read", &path))?;
        let metadata = real.metadata().map_err(VeilError::io("read", &path))?;
        let hidden = hidden(&real, &mappings)?;
        let list = images.join(format!("{HIDDEN}{ns_pid}.img"));
        fs::write(&list, list::encode(&hidden)).map_err(VeilError::io("write", list))?;
        let cover = covers.join(format!("veil-{pid}"));
        fill(&real, &cover, &mappings).map_err(VeilError::io("write", &cover))?;
        Ok(Some(Self {
            pagemap: path,
            identity: (metadata.dev(), metadata.ino()),
            cover,
            laid: false,
        }))
    }

    fn lay(&mut self) {
        let none: Option<&str> = None;
        // If it cannot be laid CRIU sees what it would see without.
        if !self.laid && mount(Some(&self.cover), &self.pagemap, none, MsFlags::MS_BIND, none).is_ok() {
            self.laid = true;
        }
    }
}

/// The pages of lazy mappings that CRIU would dump, but for those at stack pointers.
///
/// `pmc_fill` in CRIU's pagemap-cache.c asks the same, and leaves out pages of files besides. An anonymous mapping has none, and to look
/// whether it has costs ten times the rest: 25 instead of 2 ms per GiB.
fn hidden(real: &File, mappings: &Mappings) -> Result<Vec<Span>, VeilError> {
    let pagemap = real.try_clone().map(Pagemap::from);
    let pagemap = pagemap.map_err(VeilError::io("read", "pagemap"))?;
    let mut spans: Vec<Span> = Vec::new();
    for mapping in &mappings.lazy {
        // Each by itself: pages of two mappings are never one span.
        let found = pagemap
            .scan_all(Wanted::All, &[(mapping.start, mapping.end)])
            .map_err(VeilError::system("ask which pages there are"))?;
        spans.extend(found.iter().map(|Region { start, end, .. }| Span {
            start: *start,
            end: *end,
        }));
    }
    for stack in &mappings.stacks {
        let Some(at) = spans
            .iter()
            .position(|span| (span.start..span.end).contains(stack))
        else {
            continue;
        };
        let span = spans[at];
        let parts = [
            Span {
                start: span.start,
                end: *stack,
            },
            Span {
                start: stack + PAGE,
                end: span.end,
            },
        ];
        spans.splice(at..=at, parts.into_iter().filter(|part| part.start < part.end));
    }
    Ok(spans)
}

/// A pagemap that shows all that is not hidden.
fn fill(real: &File, cover: &Path, mappings: &Mappings) -> std::io::Result<()> {
    let _ = fs::remove_file(cover);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(cover)?;
    let stacks = mappings.stacks.iter().map(|start| Span {
        start: *start,
        end: start + PAGE,
    });
    let mut end = 0;
    for span in mappings.others.iter().copied().chain(stacks) {
        let (mut at, last) = (span.start / PAGE * ENTRY, span.end / PAGE * ENTRY);
        end = end.max(last);
        while at < last {
            let mut chunk = vec![0; usize::try_from((last - at).min(CHUNK)).unwrap_or(0)];
            let got = real.read_at(&mut chunk, at)?;
            if got == 0 {
                break;
            }
            file.write_all_at(&chunk[..got], at)?;
            at += got as u64;
        }
    }
    // CRIU reads the entries of whole mappings, so the file must reach behind the last of them.
    let lazy_end = mappings.lazy.iter().map(|span| span.end / PAGE * ENTRY).max();
    file.set_len(end.max(lazy_end.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lazy_pages_of_this_process_are_found_and_covered() {
        let directory = tempfile::tempdir().unwrap();
        let memory = vec![7_u8; 1 << 20];
        let real = File::open("/proc/self/pagemap").unwrap();
        let address = memory.as_ptr() as u64 / PAGE * PAGE + PAGE;
        let page = Span {
            start: address,
            end: address + 2 * PAGE,
        };
        let mappings = Mappings {
            lazy: vec![page],
            others: vec![],
            stacks: vec![address],
        };
        let Ok(hidden) = hidden(&real, &mappings) else {
            // A kernel without PAGEMAP_SCAN hides nothing.
            return;
        };
        let rest = Span {
            start: address + PAGE,
            end: page.end,
        };
        assert_eq!(hidden, [rest]);
        let cover = directory.path().join("veil");
        fill(&real, &cover, &mappings).unwrap();
        let covered = File::open(&cover).unwrap();
        let entry = |address: u64| {
            let mut entry = [0; 8];
            covered.read_exact_at(&mut entry, address / PAGE * ENTRY).unwrap();
            u64::from_le_bytes(entry)
        };
        assert_ne!(entry(address) & 1 << 63, 0, "the stack's page is there");
        assert_eq!(entry(address + PAGE), 0, "the other is not");
        drop(memory);
    }
}
