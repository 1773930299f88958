//! A container's root file system: the directories of its overlay.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use godwit_proc::mountinfo::Mount;

/// The directories of a container's overlay mount, in the view of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// The writable layer.
    pub upper: PathBuf,
    /// Overlay's work directory.
    pub work: PathBuf,
    /// The image's layers, topmost first.
    pub lower: Vec<PathBuf>,
}

/// The overlay that is mounted at `/` among `mounts` (of the container's process), if its root is one with a writable layer.
pub fn of_root(mounts: &[Mount]) -> Option<Overlay> {
    // What was mounted last at a place is what is seen there.
    let root = mounts.iter().rev().find(|mount| mount.point == Path::new("/"))?;
    if root.kind != "overlay" {
        return None;
    }
    from_options(&root.options)
}

fn from_options(options: &[u8]) -> Option<Overlay> {
    let (mut upper, mut work, mut lower) = (None, None, Vec::new());
    for option in split(options, b',') {
        let Some(at) = option.iter().position(|&byte| byte == b'=') else {
            continue;
        };
        let (key, value) = (&option[..at], &option[at + 1..]);
        match key {
            b"upperdir" => upper = Some(unescaped(value)),
            b"workdir" => work = Some(unescaped(value)),
            b"lowerdir" => lower.extend(
                split(value, b':')
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .map(|part| unescaped(&part)),
            ),
            // Since Linux 6.5 the layers may come one by one; nothing is escaped in them.
            b"lowerdir+" => lower.push(OsString::from_vec(value.to_vec()).into()),
            _ => {}
        }
    }
    let upper = upper?;
    // containerd shortens long lists by mounting from inside its directory of snapshots, `N/fs` each; the writable layer stays absolute.
    let snapshots = upper
        .parent()
        .and_then(Path::parent)
        .unwrap_or(Path::new("/"))
        .to_owned();
    let lower = lower.into_iter().map(|layer| snapshots.join(layer)).collect();
    Some(Overlay {
        upper,
        work: work?,
        lower,
    })
}

/// Splits at `mark` where no backslash stands before it; the backslashes stay.
fn split(text: &[u8], mark: u8) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let mut escaped = false;
    for &byte in text {
        if byte == mark && !escaped {
            parts.push(Vec::new());
            continue;
        }
        escaped = byte == b'\\' && !escaped;
        if let Some(part) = parts.last_mut() {
            part.push(byte);
        }
    }
    parts
}

fn unescaped(text: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => out.push(bytes.next().copied().unwrap_or(b'\\')),
            _ => out.push(byte),
        }
    }
    OsString::from_vec(out).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_proc::mountinfo;

    const SNAPSHOTS: &str = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots";

    fn root(options: &str) -> Vec<Mount> {
        let text = format!(
            "1 0 0:30 / / rw - tmpfs none rw\n2 1 0:61 / / rw,relatime - overlay overlay {options}\n3 2 0:62 / /proc rw - proc proc rw\n"
        );
        mountinfo::parse(text.as_bytes())
    }

    #[test]
    fn the_layers_of_a_container() {
        let overlay = of_root(&root(&format!(
            "rw,lowerdir={SNAPSHOTS}/3/fs:{SNAPSHOTS}/2/fs,upperdir={SNAPSHOTS}/7/fs,workdir={SNAPSHOTS}/7/work,uuid=on"
        )))
        .unwrap();
        assert_eq!(overlay.upper, Path::new(SNAPSHOTS).join("7/fs"));
        assert_eq!(overlay.work, Path::new(SNAPSHOTS).join("7/work"));
        assert_eq!(
            overlay.lower,
            [
                Path::new(SNAPSHOTS).join("3/fs"),
                Path::new(SNAPSHOTS).join("2/fs")
            ]
        );
    }

    #[test]
    fn short_layers_are_below_the_directory_of_snapshots() {
        let overlay = of_root(&root(&format!(
            "rw,lowerdir=3/fs:2/fs,upperdir={SNAPSHOTS}/7/fs,workdir={SNAPSHOTS}/7/work"
        )))
        .unwrap();
        assert_eq!(
            overlay.lower,
            [
                Path::new(SNAPSHOTS).join("3/fs"),
                Path::new(SNAPSHOTS).join("2/fs")
            ]
        );
    }

    #[test]
    fn layers_given_one_by_one() {
        let overlay = of_root(&root(
            "rw,lowerdir+=/a:b,lowerdir+=/c,datadir+=/d,upperdir=/s/u/fs,workdir=/s/u/work",
        ))
        .unwrap();
        assert_eq!(overlay.lower, [Path::new("/a:b"), Path::new("/c")]);
    }

    #[test]
    fn colons_commas_and_spaces_in_names() {
        let overlay = of_root(&root(
            "rw,lowerdir=/a\\134:b:/c\\040d,upperdir=/s/u\\134,v/fs,workdir=/s/w",
        ))
        .unwrap();
        assert_eq!(overlay.lower, [Path::new("/a:b"), Path::new("/c d")]);
        assert_eq!(overlay.upper, Path::new("/s/u,v/fs"));
    }

    #[test]
    fn a_root_without_a_writable_layer_or_of_another_kind_is_none() {
        assert_eq!(of_root(&root("ro,lowerdir=/a:/b")), None);
        assert_eq!(
            of_root(&mountinfo::parse(
                b"1 0 0:30 / / rw - btrfs none rw,upperdir=/x,workdir=/y\n"
            )),
            None
        );
        assert_eq!(of_root(&[]), None);
    }
}
