//! What files of the kernel say.

use std::collections::BTreeSet;
use std::path::Path;

use godwit_container::host::Host;
use godwit_crds::{CgroupFacts, Lsm};
use godwit_proc::{bounded::read_text, mountinfo};

/// Where runc looks for cgroups.
const CGROUPS: &str = "/sys/fs/cgroup";
/// Longest file that is read here.
const LIMIT: usize = 64 << 10;
/// `AT_PAGESZ` of the auxiliary vector (`getauxval(3)`).
const AT_PAGESZ: u64 = 6;

fn text(host: &Host, path: &str) -> Option<String> {
    read_text(&host.path(Path::new(path)), LIMIT).ok()
}

/// Bytes of a page, as the kernel has told this process.
pub(super) fn page_size() -> Option<u64> {
    let auxv = godwit_proc::bounded::read(Path::new("/proc/self/auxv"), LIMIT).ok()?;
    page_size_in(&auxv)
}

fn page_size_in(auxv: &[u8]) -> Option<u64> {
    let (words, _) = auxv.as_chunks::<8>();
    let (pairs, _) = words.as_chunks::<2>();
    let found = pairs
        .iter()
        .find(|[kind, _]| u64::from_ne_bytes(*kind) == AT_PAGESZ);
    found.map(|[_, value]| u64::from_ne_bytes(*value))
}

/// What filters of system calls can do. A kernel without the file knows no filters: it is as old as the first of these actions.
pub(super) fn seccomp(host: &Host) -> Option<BTreeSet<String>> {
    // Without /proc nothing is known.
    pid_max(host)?;
    let actions = text(host, "/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    Some(actions.split_whitespace().map(str::to_owned).collect())
}

/// Numbers of processes are below it.
pub(super) fn pid_max(host: &Host) -> Option<u64> {
    text(host, "/proc/sys/kernel/pid_max")?.trim().parse().ok()
}

/// Mode of transparent huge pages; none without a kernel that has them.
pub(super) fn huge_pages(host: &Host) -> Option<String> {
    chosen(&text(host, "/sys/kernel/mm/transparent_hugepage/enabled")?)
}

/// `always [madvise] never`.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    let (mode, _) = rest.split_once(']')?;
    Some(mode.to_owned())
}

/// As CRIU looks for it on the node (`kerndat_lsm`, `criu/lsm.c`).
pub(super) fn security_module(host: &Host) -> Lsm {
    let is_there = |path| host.path(Path::new(path)).exists();
    if is_there("/sys/kernel/security/apparmor") {
        Lsm::AppArmor
    } else if is_there("/sys/fs/selinux/enforce") {
        Lsm::SeLinux
    } else {
        Lsm::None
    }
}

/// As runc looks for them (`IsCgroup2UnifiedMode`, `getCgroupMounts`).
pub(super) fn cgroups(host: &Host) -> Option<CgroupFacts> {
    cgroups_in(&mountinfo::read(&host.process(host.pid)).ok()?)
}

fn cgroups_in(mounts: &[mountinfo::Mount]) -> Option<CgroupFacts> {
    // What was mounted last is on top.
    let top = mounts
        .iter()
        .rev()
        .find(|mount| mount.point == Path::new(CGROUPS))?;
    if top.kind == "cgroup2" {
        return Some(CgroupFacts {
            version: 2,
            ..CgroupFacts::default()
        });
    }
    let first = mounts.iter().filter(|mount| mount.kind == "cgroup");
    let below = first.filter_map(|mount| mount.point.strip_prefix(CGROUPS).ok());
    Some(CgroupFacts {
        version: 1,
        hierarchies: below
            .filter_map(|name| Some(name.to_str()?.to_owned()))
            .filter(|name| !name.is_empty())
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_pages_is_one_word_of_the_auxiliary_vector() {
        let words = [33_u64, 1, 6, 65_536, 0, 0];
        let auxv: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(page_size_in(&auxv), Some(65_536));
        assert_eq!(page_size_in(&auxv[..24]), None);
        assert!(page_size().is_some_and(|size| size.is_power_of_two() && size >= 4_096));
    }

    #[test]
    fn the_mode_of_huge_pages_is_the_one_in_brackets() {
        assert_eq!(chosen("always [madvise] never\n").as_deref(), Some("madvise"));
        assert_eq!(chosen("[always"), None);
        assert_eq!(chosen(""), None);
    }

    #[test]
    fn hierarchies_of_version_1_are_named_as_containers_see_them() {
        let hybrid = "24 30 0:22 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
            31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            32 24 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
            33 24 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
            34 24 0:30 / /other/freezer rw - cgroup cgroup rw,freezer\n";
        let found = cgroups_in(&mountinfo::parse(hybrid.as_bytes())).unwrap();
        assert_eq!(found.version, 1);
        let names: Vec<String> = found.hierarchies.into_iter().collect();
        assert_eq!(names, ["cpu,cpuacct", "systemd"]);
    }

    #[test]
    fn version_2_is_alone() {
        let unified = "24 30 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = cgroups_in(&mountinfo::parse(unified.as_bytes())).unwrap();
        assert_eq!((found.version, found.hierarchies.len()), (2, 0));
        assert_eq!(cgroups_in(&[]), None);
    }
}
