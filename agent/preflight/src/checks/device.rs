//! Device nodes: CRIU opens anew those of memory, terminals and tunnels; others have state in their drivers ("can't dump file of that type").

use rustix::fs::FileType;

use super::report::{Place, Report};
use crate::process::descriptor::Kind;

const DEVICE: &str = "DeviceUnsupported";
const GPU: &str = "GpuUnsupported";
/// Both.
#[cfg(test)]
pub(super) const NAMES: &[&str] = &[DEVICE, GPU];
const CURE: &str = "state of a device stays with the node: close it before a move, or restart the container at the destination with spec.restartContainers";
const CURE_GPU: &str = "memory and state of a GPU stay with it: restart the container at the destination with spec.restartContainers";

/// Character devices (`admin-guide/devices.txt`) that CRIU takes.
fn is_known((major, minor): (u32, u32)) -> bool {
    // Memory: null, zero, full, random, urandom, kmsg. Virtual consoles; tty, console, ptmx. Pseudo terminals. tun.
    matches!((major, minor), (1 | 4 | 5 | 136..=143, _) | (10, 200))
}

/// How drivers name their nodes.
fn is_gpu(path: &[u8]) -> bool {
    let names = [
        "nvidia",
        "dri/",
        "kfd",
        "dxg",
        "mali",
        "accel",
        "davinci",
        "habanalabs",
        "gaudi",
    ];
    path.strip_prefix(b"/dev/")
        .is_some_and(|name| names.iter().any(|it| name.starts_with(it.as_bytes())))
}

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    for descriptor in &place.process.descriptors {
        one(
            place,
            &descriptor.target,
            descriptor.kind,
            "has a device open",
            report,
        );
    }
    let mut seen: Vec<&[u8]> = Vec::new();
    for mapping in &place.process.mappings {
        // Looking at every mapped file would take long, and devices are in /dev.
        let name = mapping.name.as_slice();
        if !name.starts_with(b"/dev/") || name.starts_with(b"/dev/shm/") || seen.contains(&name) {
            continue;
        }
        seen.push(name);
        if let Some(kind) = Kind::of(&mapping.link(&place.process.proc)) {
            one(place, name, kind, "has a device mapped", report);
        }
    }
}

fn one(place: &Place<'_>, path: &[u8], kind: Kind, what: &str, report: &mut Report) {
    let block = kind.file_type == FileType::BlockDevice;
    let unknown = kind.file_type == FileType::CharacterDevice && !is_known(kind.device);
    if !(block || unknown) {
        return;
    }
    let (major, minor) = kind.device;
    let object = format!("{} ({major}:{minor})", String::from_utf8_lossy(path));
    if is_gpu(path) {
        report.refuse(GPU, place, object, "uses a GPU", CURE_GPU);
    } else {
        report.refuse(DEVICE, place, object, what, CURE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_told_apart() {
        for device in [
            (1, 3),
            (1, 5),
            (1, 7),
            (1, 8),
            (1, 9),
            (5, 0),
            (5, 2),
            (136, 0),
            (143, 7),
            (10, 200),
        ] {
            assert!(is_known(device), "{device:?}");
        }
        for device in [(10, 229), (10, 232), (195, 0), (226, 128), (7, 0), (234, 0)] {
            assert!(!is_known(device), "{device:?}");
        }
        assert!(is_gpu(b"/dev/nvidia0") && is_gpu(b"/dev/dri/renderD128") && is_gpu(b"/dev/kfd"));
        assert!(!is_gpu(b"/dev/fuse") && !is_gpu(b"/srv/nvidia0"));
    }
}
