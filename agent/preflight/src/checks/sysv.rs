//! SysV shared memory belongs to the pod, and every container's image would hold all of it: only one restore can make it.

use super::report::{Found, Report};
use crate::scene::{Scene, Seen};

pub(super) const CHECK: &str = "SysvMemoryInTwoContainers";
/// How the kernel names such a mapping (`ipc/shm.c`).
const NAME: &[u8] = b"/SYSV";

pub(super) fn look(scene: &Scene, report: &mut Report) {
    let mapping: Vec<&Seen> = scene.containers.iter().filter(|it| maps(it)).collect();
    if let [one, other, ..] = mapping[..] {
        let process = other
            .processes
            .iter()
            .find(|it| it.mappings.iter().any(|it| it.name.starts_with(NAME)));
        let what = "has SysV shared memory mapped, and another container too";
        let cure = "use it in one container of the pod alone, or shared memory of /dev/shm";
        let object = format!("containers {} and {}", one.name, other.name);
        report.add(
            true,
            other,
            process,
            Found {
                check: CHECK,
                object,
                what,
                cure,
            },
        );
    }
}

fn maps(container: &Seen) -> bool {
    let mut mappings = container.processes.iter().flat_map(|it| &it.mappings);
    mappings.any(|it| it.name.starts_with(NAME))
}
