//! Files on a mount that is gone from sight (`umount -l`), or was never in it: CRIU finds no path to them ("Can't lookup mount").

use godwit_proc::field::{fields, number};
use rustix::fs::FileType;

use super::report::{Place, Report, describe};
use crate::process::descriptor::Descriptor;

pub(super) const CHECK: &str = "DetachedMountUnsupported";
const CURE: &str = "close the file, or keep the file system mounted";
/// Files of the kernel's own, which have a mount that nobody sees and that CRIU knows.
const OF_THE_KERNEL: [&[u8]; 5] = [
    b"/memfd:",
    b"/SYSV",
    b"/dev/zero",
    b"/secretmem",
    b"/anon_hugepage",
];

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    for descriptor in &place.process.descriptors {
        if !is_concerned(descriptor) || is_queue(place, descriptor) {
            continue;
        }
        let mount = descriptor
            .info(&place.process.proc)
            .iter()
            .find_map(|line| mount_id(line));
        if mount.is_some_and(|mount| !place.container.has_mount(mount)) {
            report.refuse(
                CHECK,
                place,
                describe(descriptor),
                "has a file open on a file system that is not mounted in the container",
                CURE,
            );
        }
    }
}

/// Queues are opened by a mount of the kernel's own; they have a check of their own.
fn is_queue(place: &Place<'_>, descriptor: &Descriptor) -> bool {
    let mounts = place.container.mounts_of(place.process).iter();
    let mut queues = mounts.filter(|mount| mount.kind == "mqueue");
    queues.any(|mount| mount.device == descriptor.kind.file_system)
}

fn is_concerned(descriptor: &Descriptor) -> bool {
    let kind = matches!(
        descriptor.kind.file_type,
        FileType::RegularFile | FileType::Directory
    );
    let of_the_kernel = OF_THE_KERNEL
        .iter()
        .any(|name| descriptor.target.starts_with(name));
    kind && descriptor.target.starts_with(b"/") && !of_the_kernel
}

fn mount_id(line: &[u8]) -> Option<u64> {
    let mut fields = fields(line);
    (fields.next()? == b"mnt_id:")
        .then(|| number(fields.next()?, 10))
        .flatten()
}
