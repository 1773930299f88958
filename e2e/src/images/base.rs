//! What every image begins with: folders, users, and a shell with its tools.

use std::path::Path;

use anyhow::Result;

use super::layer::Entry;
use crate::command;

/// A user besides root: name, number (also that of its group) and home.
pub(super) type User = (&'static str, u32, &'static str);

/// A root with a shell and nothing else, from the node tree.
pub(super) fn with_shell(tree: &Path, user: User) -> Result<Vec<Entry>> {
    let mut entries = vec![
        Entry::dir("usr"),
        Entry::dir("usr/bin"),
        Entry::link("bin", "usr/bin"),
    ];
    entries.extend(common(user));
    entries.extend(busybox(tree)?);
    Ok(entries)
}

/// `/etc` with root and one more user, and `/tmp`.
pub(super) fn common((name, number, home): User) -> Vec<Entry> {
    vec![
        Entry::dir("etc"),
        Entry::text(
            "etc/passwd",
            &format!("root:x:0:0:root:/root:/bin/sh\n{name}:x:{number}:{number}:{name}:{home}:/bin/sh\n"),
        ),
        Entry::text("etc/group", &format!("root:x:0:\n{name}:x:{number}:\n")),
        for_all("tmp"),
    ]
}

/// A folder in which everybody may write.
pub(super) fn for_all(path: &str) -> Entry {
    Entry::Dir {
        path: path.to_owned(),
        mode: 0o1777,
        owner: 0,
    }
}

/// One static program, under the names of all the tools it is; `/usr/bin` must be there and `/bin` a link to it.
pub(super) fn busybox(tree: &Path) -> Result<Vec<Entry>> {
    let program = tree.join("usr/bin/busybox");
    let mut entries = vec![Entry::program("usr/bin/busybox", &program)];
    let list = command::output(command::bound(&program).arg("--list"))?;
    entries.extend(
        list.split_whitespace()
            .filter(|&applet| applet != "busybox")
            .map(|applet| Entry::link(&format!("usr/bin/{applet}"), "busybox")),
    );
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_line_in_both_files() {
        let entries = common(("redis", 999, "/data"));
        let text = |path: &str| {
            entries.iter().find_map(|entry| match entry {
                Entry::Text {
                    path: at, content, ..
                } if at == path => Some(content.clone()),
                _ => None,
            })
        };
        assert!(
            text("etc/passwd")
                .unwrap()
                .contains("\nredis:x:999:999:redis:/data:/bin/sh\n")
        );
        assert!(text("etc/group").unwrap().contains("\nredis:x:999:\n"));
    }
}
