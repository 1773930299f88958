//! inotify and fanotify: CRIU finds the watched file by the kernel's handle, which overlayfs and procfs do not resolve ("Can't dump that handle").

use godwit_proc::field::number;

use super::report::{Place, Report};

pub(super) const CHECK: &str = "FileWatchUnsupported";
const CURE: &str = "watch a volume instead of the container's own files, let the program poll, or use CRIU 4.3 on both nodes";
const CURE_KERNEL: &str = "files of the kernel cannot be watched across a move: let the program poll";

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    let mounts = place.container.mounts_of(place.process);
    for descriptor in place.anonymous(&["inotify", "[fanotify]"]) {
        for line in descriptor.info(&place.process.proc) {
            let Some(device) = watched(&line) else {
                continue;
            };
            let mount = mounts.iter().find(|mount| mount.device == device);
            let (cure, kind) = match mount.map(|mount| mount.kind.as_str()) {
                Some("overlay") if !place.pod.watches_on_overlay => (CURE, "overlay"),
                Some("proc") => (CURE_KERNEL, "proc"),
                _ => continue,
            };
            let object = format!("descriptor {} on a file system of type {kind}", descriptor.number);
            report.refuse(CHECK, place, object, "watches files by inotify or fanotify", cure);
        }
    }
}

/// The file system that a line of fdinfo is about: `inotify wd:1 ino:2 sdev:fe00001 mask:…`; its number is the kernel's own, with 20 bits of minor.
fn watched(line: &[u8]) -> Option<(u32, u32)> {
    if !line.starts_with(b"inotify ") && !line.starts_with(b"fanotify ") {
        return None;
    }
    let field = line
        .split(|&byte| byte == b' ')
        .find_map(|field| field.strip_prefix(b"sdev:"))?;
    let device = u32::try_from(number(field, 16)?).ok()?;
    Some((device >> 20, device & 0xf_ffff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_understood() {
        let line = b"inotify wd:1 ino:984162 sdev:fe00001 mask:2 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:62419800";
        assert_eq!(watched(line), Some((0xfe, 1)));
        assert_eq!(
            watched(b"fanotify ino:4f969 sdev:2d mflags:0 mask:3b ignored_mask:40000000"),
            Some((0, 0x2d))
        );
        for line in [
            "fanotify flags:10 event-flags:0",
            "pos:\t0",
            "inotify wd:1 sdev:",
            "inotify sdev:fffffffff",
            "",
        ] {
            assert_eq!(watched(line.as_bytes()), None, "{line}");
        }
    }
}
