//! Programs of the node tree with every shared library they need.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::layer::Entry;
use crate::command;

/// What a set of programs needs to run.
#[derive(Debug, Clone)]
pub struct Closure {
    /// The loader: its path as programs name it, and the file in the tree.
    pub loader: (PathBuf, PathBuf),
    /// Each library's name, as programs ask for it, and the file in the tree.
    pub libraries: BTreeMap<String, PathBuf>,
}

/// The loader that programs of this machine's architecture name.
pub fn loader_path() -> &'static str {
    if std::env::consts::ARCH == "aarch64" {
        "/lib/ld-linux-aarch64.so.1"
    } else {
        "/lib64/ld-linux-x86-64.so.2"
    }
}

/// Ask the tree's own loader what these programs (absolute in the tree) need, all the way down.
pub fn of(tree: &Path, programs: &[&str]) -> Result<Closure> {
    let mut libraries = BTreeMap::new();
    for program in programs {
        let text =
            command::output(
                command::bound("chroot")
                    .arg(tree)
                    .args([loader_path(), "--list", program]),
            )?;
        for (name, path) in parse(&text) {
            libraries.insert(name, inside(tree, &path)?);
        }
    }
    let loader = (
        PathBuf::from(loader_path()),
        inside(tree, Path::new(loader_path()))?,
    );
    Ok(Closure { loader, libraries })
}

/// The entries of a small root with these programs and libraries at their ordinary paths; `/bin`, `/lib` and so on
/// are links into `/usr`.
pub fn entries(tree: &Path, programs: &[&str]) -> Result<Vec<Entry>> {
    let closure = of(tree, programs)?;
    let libraries = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let mut entries = vec![
        Entry::dir("usr"),
        Entry::dir("usr/bin"),
        Entry::dir("usr/sbin"),
        Entry::dir("usr/lib"),
        Entry::dir("usr/lib64"),
        Entry::dir(&libraries),
        Entry::link("bin", "usr/bin"),
        Entry::link("sbin", "usr/sbin"),
        Entry::link("lib", "usr/lib"),
        Entry::link("lib64", "usr/lib64"),
    ];
    for program in programs {
        entries.push(Entry::program(
            program.trim_start_matches('/'),
            &inside(tree, Path::new(program))?,
        ));
    }
    for (name, file) in &closure.libraries {
        entries.push(Entry::program(&format!("{libraries}/{name}"), file));
    }
    let (named, file) = &closure.loader;
    entries.push(Entry::program(&format!("usr{}", named.display()), file));
    Ok(entries)
}

/// `libx.so.1 => /usr/lib/…/libx.so.1 (0x…)`; lines of other forms name the loader and the kernel's own page.
fn parse(text: &str) -> Vec<(String, PathBuf)> {
    text.lines()
        .filter_map(|line| {
            let (name, rest) = line.trim().split_once(" => ")?;
            Some((name.to_owned(), PathBuf::from(rest.split_whitespace().next()?)))
        })
        .collect()
}

/// The file behind a path of the tree. Links in it are absolute as the tree sees them, so they are followed by hand.
fn inside(tree: &Path, path: &Path) -> Result<PathBuf> {
    let mut current = path.to_path_buf();
    for _ in 0..16 {
        let mut walked = PathBuf::from("/");
        let mut link = None;
        let mut parts = current.strip_prefix("/").unwrap_or(&current).components();
        for part in parts.by_ref() {
            let next = walked.join(part);
            if let Ok(target) = std::fs::read_link(tree.join(next.strip_prefix("/").unwrap_or(&next))) {
                link = Some(walked.join(target).join(parts.as_path()));
                break;
            }
            walked = next;
        }
        match link {
            Some(target) => current = target,
            None => return Ok(tree.join(walked.strip_prefix("/").unwrap_or(&walked))),
        }
    }
    Err(anyhow::anyhow!("too many links"))
        .with_context(|| format!("find {} in the node tree", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    #[test]
    fn absolute_links_stay_in_the_tree() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join("usr/lib")).unwrap();
        symlink("usr/lib", tree.path().join("lib")).unwrap();
        symlink("/lib/b.so", tree.path().join("usr/lib/a.so")).unwrap();
        std::fs::write(tree.path().join("usr/lib/b.so"), "b").unwrap();
        let found = super::inside(tree.path(), Path::new("/lib/a.so")).unwrap();
        assert_eq!(found, tree.path().join("usr/lib/b.so"));
    }

    #[test]
    fn only_libraries_are_listed() {
        let text = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /usr/lib/libc.so.6 (0x2)\n\t/lib64/ld.so (0x3)\n";
        assert_eq!(
            super::parse(text),
            [("libc.so.6".to_owned(), "/usr/lib/libc.so.6".into())]
        );
    }
}
