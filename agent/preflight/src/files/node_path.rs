//! From a file in a container to its path on the node: mountinfo tells which part of a file system is mounted in the container, and where the node has it.

use std::path::{Path, PathBuf};

use godwit_proc::mountinfo::Mount;

/// `path` lies on `mount` in the container; `node` are the node's own mounts. None: the node has that part of the file system nowhere.
pub(super) fn of(path: &Path, mount: &Mount, node: &[Mount]) -> Option<PathBuf> {
    let below = path.strip_prefix(&mount.point).ok()?;
    // Of a file that is mounted itself, nothing is below; joining an empty path would add a slash.
    let in_file_system = if below.as_os_str().is_empty() {
        mount.root.clone()
    } else {
        mount.root.join(below)
    };
    let places = node
        .iter()
        .filter(|place| place.device == mount.device && in_file_system.starts_with(&place.root));
    let place = places.min_by_key(|place| place.root.components().count())?;
    let rest = in_file_system.strip_prefix(&place.root).ok()?;
    Some(if rest.as_os_str().is_empty() {
        place.point.clone()
    } else {
        place.point.join(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(device: (u32, u32), root: &str, point: &str) -> Mount {
        Mount {
            id: 0,
            device,
            root: root.into(),
            point: point.into(),
            kind: "ext4".into(),
            options: Vec::new(),
        }
    }

    #[test]
    fn the_file_is_found_where_the_node_has_its_file_system() {
        let node = [
            mount((8, 1), "/", "/"),
            mount((8, 2), "/", "/opt"),
            mount((8, 2), "/lib", "/mnt/lib"),
        ];
        let file = mount((8, 2), "/lib/libfoo.so.2", "/usr/lib/libfoo.so.2");
        let directory = mount((8, 1), "/srv/x", "/x");
        let found = |path: &str, mount| of(Path::new(path), mount, &node);
        assert_eq!(
            found("/usr/lib/libfoo.so.2", &file).unwrap(),
            Path::new("/opt/lib/libfoo.so.2")
        );
        assert_eq!(found("/x/y/z", &directory).unwrap(), Path::new("/srv/x/y/z"));
        assert_eq!(found("/elsewhere", &directory), None);
        assert_eq!(found("/x/y", &mount((8, 9), "/", "/x")), None);
    }
}
