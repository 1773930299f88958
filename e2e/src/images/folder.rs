//! A folder of a tree with all that is in it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::layer::Entry;

/// The entries of `folder` (relative to `tree`, and to the image's root) in a fixed order, without what is called like one of `without`.
/// Permissions are kept, owners are root. Fails at what is neither file, folder nor link.
pub fn entries(tree: &Path, folder: &str, without: &[&str]) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    add(tree, folder, without, &mut found).with_context(|| format!("list {folder} of a tree"))?;
    Ok(found)
}

fn add(tree: &Path, folder: &str, without: &[&str], found: &mut Vec<Entry>) -> Result<()> {
    found.push(Entry::dir(folder));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(tree.join(folder))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| !without.contains(&name.as_str()));
    names.sort();
    for name in names {
        let path = format!("{folder}/{name}");
        let from = tree.join(&path);
        let metadata = from.symlink_metadata()?;
        if metadata.is_dir() {
            add(tree, &path, without, found)?;
        } else if metadata.is_symlink() {
            let target = std::fs::read_link(&from)?;
            found.push(Entry::link(&path, &target.to_string_lossy()));
        } else if metadata.is_file() {
            let mode = metadata.permissions().mode() & 0o777;
            found.push(Entry::File { path, from, mode });
        } else {
            anyhow::bail!("{path} is neither file, folder nor link");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_there_in_order_but_what_is_left_out() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join("share/b/man")).unwrap();
        std::fs::write(tree.path().join("share/b/z"), "z").unwrap();
        std::os::unix::fs::symlink("b/z", tree.path().join("share/a")).unwrap();
        let found = entries(tree.path(), "share", &["man"]).unwrap();
        let paths: Vec<&str> = found.iter().map(Entry::path).collect();
        assert_eq!(paths, ["share", "share/a", "share/b", "share/b/z"]);
        assert_eq!(found[1], Entry::link("share/a", "b/z"));
    }
}
