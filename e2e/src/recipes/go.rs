//! The Go tool, which builds Kubernetes and Helm from their modules.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::command;

use super::host;

/// A Go older than this cannot fetch the newer one that a module asks for.
const OLDEST: (u32, u32) = (1, 21);

/// A command that runs `go` with no settings of the surrounding project; if there is none, Debian's is installed.
/// Fails if that one is too old.
pub fn tool() -> Result<Command> {
    let program = if let Some(found) = find() {
        found
    } else {
        host::install(&["golang-go"])?;
        PathBuf::from("go")
    };
    let said = command::output(command::bound(&program).arg("version"))?;
    if version(&said).is_some_and(|found| found < OLDEST) {
        bail!("{} is too old: install Go 1.21 or newer", said.trim());
    }
    let mut go = command::contained(program);
    go.env("GOTOOLCHAIN", "auto")
        .env("GOWORK", "off")
        .env("GOFLAGS", "-buildvcs=false");
    Ok(go)
}

fn find() -> Option<PathBuf> {
    if command::exists("go") {
        return Some(PathBuf::from("go"));
    }
    let usual = Path::new("/usr/local/go/bin/go");
    usual.is_file().then(|| usual.to_path_buf())
}

/// `go version go1.26.8 linux/amd64` → (1, 26)
fn version(said: &str) -> Option<(u32, u32)> {
    let number = said
        .split_whitespace()
        .find_map(|word| word.strip_prefix("go1."))?;
    let minor: String = number.chars().take_while(char::is_ascii_digit).collect();
    Some((1, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_read_from_what_go_says() {
        assert_eq!(super::version("go version go1.26.8 linux/amd64\n"), Some((1, 26)));
        assert_eq!(super::version("go version devel"), None);
    }
}
