//! PostgreSQL as Debian has it, with a shell.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::layer::{self, Entry};
use super::{base, closure, folder, oci};
use crate::recipes;

/// The image's name.
pub const IMAGE: &str = "localhost/postgres:1";
/// The user, and its group, as whom it runs; it refuses to be root.
pub const USER: u32 = 999;

const PROGRAMS: [&str; 4] = ["initdb", "pg_ctl", "postgres", "psql"];

/// Makes the data in `/data/db` if there is none, and becomes the server. Anybody may come in, by TCP and by the socket.
///
/// A client of the socket is in the same container: `psql`, to which a shell says every 50 ms to write down that it is there.
const SCRIPT: &str = "set -e
db=/data/db
if [ ! -s $db/PG_VERSION ]; then
    initdb --pgdata=$db.new --auth=trust --no-locale --encoding=UTF8 --no-sync
    echo 'host all all all trust' >> $db.new/pg_hba.conf
    mv $db.new $db
fi
(
    until psql -q -c 'create table if not exists beats (number serial, backend int default pg_backend_pid())'; do sleep 0.2; done
    while :; do echo 'insert into beats default values;'; sleep 0.05; done | psql -q
) 2>/dev/null &
exec postgres -D $db -c 'listen_addresses=*'
";

/// The archive of the image. A pod gives it a volume at `/data` in which user 999 may write.
pub fn archive() -> Result<PathBuf> {
    let tree = recipes::postgres::ensure()?;
    let version = version(&tree)?;
    let bin = format!("usr/lib/postgresql/{version}/bin");
    let programs = PROGRAMS.map(|name| format!("/{bin}/{name}"));
    let programs: Vec<&str> = programs.iter().map(String::as_str).collect();
    let mut entries = closure::entries(&tree, &programs)?;
    entries.extend(folder::entries(
        &tree,
        &format!("usr/lib/postgresql/{version}/lib"),
        &["pgxs"],
    )?);
    entries.extend(folder::entries(
        &tree,
        &format!("usr/share/postgresql/{version}"),
        &["man"],
    )?);
    entries.push(Entry::program(
        "usr/share/zoneinfo/Etc/UTC",
        &tree.join("usr/share/zoneinfo/Etc/UTC"),
    ));
    entries.extend(PROGRAMS.map(|name| Entry::link(&format!("usr/bin/{name}"), &format!("/{bin}/{name}"))));
    entries.extend(base::busybox(&recipes::debian::ensure()?)?);
    entries.extend(base::common(("postgres", USER, "/data")));
    entries.extend(["var", "var/run"].map(Entry::dir));
    entries.extend(["var/run/postgresql", "data"].map(base::for_all));
    entries.push(Entry::Text {
        path: "usr/bin/serve".to_owned(),
        content: format!("#!/bin/sh\n{SCRIPT}"),
        mode: 0o755,
    });
    let layer = layer::ensure("postgres", &entries)?;
    let config = oci::Config {
        entrypoint: vec!["/usr/bin/serve".to_owned()],
        environment: vec!["TZ=Etc/UTC".to_owned()],
        user: format!("{USER}:{USER}"),
        ..Default::default()
    };
    oci::archive(IMAGE, &[layer], &config)
}

/// The one version that is in the tree.
fn version(tree: &Path) -> Result<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(tree.join("usr/lib/postgresql"))? {
        found.push(entry?.file_name().to_string_lossy().into_owned());
    }
    ensure!(found.len() == 1, "versions of PostgreSQL: {found:?}");
    found.pop().context("no version of PostgreSQL")
}
