//! The Debian mirror, taken from the machine's own apt sources.

use std::path::Path;

use anyhow::{Context, Result};

/// The address of the first mirror of the main archive that apt on this machine uses.
/// `GODWIT_E2E_DEBIAN_MIRROR` overrides it (a machine that is not Debian needs it).
pub fn address() -> Result<String> {
    if let Ok(given) = std::env::var("GODWIT_E2E_DEBIAN_MIRROR") {
        return Ok(given);
    }
    let etc = Path::new("/etc/apt");
    let mut files = vec![etc.join("sources.list")];
    if let Ok(entries) = std::fs::read_dir(etc.join("sources.list.d")) {
        let mut more: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        more.sort();
        files.append(&mut more);
    }
    files
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .flat_map(|text| archives(&text))
        .find(is_debian_main)
        .map(|archive| archive.uri)
        .context(
            "no Debian mirror found in /etc/apt: set GODWIT_E2E_DEBIAN_MIRROR to the address of one (http://…/debian)",
        )
}

#[derive(Debug, PartialEq, Eq)]
struct Archive {
    uri: String,
    suites: Vec<String>,
    components: Vec<String>,
}

/// The archive of packages, not the one of security fixes, which debootstrap cannot start from.
fn is_debian_main(archive: &Archive) -> bool {
    archive.uri.trim_end_matches('/').ends_with("/debian")
        && archive.components.iter().any(|component| component == "main")
        && archive
            .suites
            .iter()
            .any(|suite| !suite.contains('-') && !suite.contains('/'))
}

/// All archives of one sources file, in either of apt's two formats.
fn archives(text: &str) -> Vec<Archive> {
    let mut found: Vec<Archive> = text.lines().filter_map(one_line).collect();
    found.extend(text.split("\n\n").filter_map(stanza));
    found
}

/// `deb [options] URI SUITE COMPONENT…`
fn one_line(line: &str) -> Option<Archive> {
    let rest = line.trim().strip_prefix("deb ")?.trim();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Archive {
        uri: words.next()?,
        suites: vec![words.next()?],
        components: words.collect(),
    })
}

/// deb822: `Types:`, `URIs:`, `Suites:`, `Components:`.
fn stanza(text: &str) -> Option<Archive> {
    let field = |name: &str| -> Option<Vec<String>> {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.split_whitespace().map(str::to_owned).collect())
    };
    if !field("Types")?.iter().any(|kind| kind == "deb") {
        return None;
    }
    Some(Archive {
        uri: field("URIs")?.into_iter().next()?,
        suites: field("Suites")?,
        components: field("Components").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::{archives, is_debian_main};

    #[test]
    fn both_formats_are_read_and_only_the_main_archive_is_taken() {
        let new = "Types: deb\n# a comment\nURIs: http://a.example/debian-security\nSuites: x-security\nComponents: main\n\n\
                   Types: deb deb-src\nURIs: http://a.example/debian\nSuites: x x-updates\nComponents: main\n";
        let taken: Vec<_> = archives(new)
            .into_iter()
            .filter(is_debian_main)
            .map(|a| a.uri)
            .collect();
        assert_eq!(taken, ["http://a.example/debian"]);
        let old = "# deb http://no.example/debian x main\ndeb-src http://no.example/debian x main\n\
                   deb https://tool.example/apt tool main\ndeb [signed-by=/k.gpg arch=amd64] http://b.example/debian/ x main\n";
        let taken: Vec<_> = archives(old)
            .into_iter()
            .filter(is_debian_main)
            .map(|a| a.uri)
            .collect();
        assert_eq!(taken, ["http://b.example/debian/"]);
    }
}
