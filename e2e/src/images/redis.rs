//! Redis from the node tree, with a shell and its usual tools.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::layer::{self, Entry};
use super::{closure, oci};
use crate::{command, recipes};

/// The image's name.
pub const IMAGE: &str = "localhost/redis:1";

/// The archive of the image. Redis runs as whatever user the pod says; it keeps its data in `/data`.
pub fn archive() -> Result<PathBuf> {
    let tree = recipes::debian::ensure()?;
    let mut entries = closure::entries(&tree, &["/usr/bin/redis-server", "/usr/bin/redis-cli"])?;
    entries.extend(busybox(&tree)?);
    entries.extend([
        Entry::dir("etc"),
        Entry::text(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nredis:x:999:999:redis:/data:/bin/sh\n",
        ),
        Entry::text("etc/group", "root:x:0:\nredis:x:999:\n"),
        Entry::Dir {
            path: "data".to_owned(),
            mode: 0o1777,
            owner: 0,
        },
        Entry::Dir {
            path: "tmp".to_owned(),
            mode: 0o1777,
            owner: 0,
        },
    ]);
    let layer = layer::ensure("redis", &entries)?;
    let config = oci::Config {
        entrypoint: vec!["/usr/bin/redis-server".to_owned()],
        command: ["--protected-mode", "no", "--save", "", "--dir", "/data"]
            .map(str::to_owned)
            .to_vec(),
        directory: "/data".to_owned(),
        ..Default::default()
    };
    oci::archive(IMAGE, &[layer], &config)
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
