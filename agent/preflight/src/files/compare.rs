//! Both sides held against each other, and what a difference would do. Pure.

use std::collections::BTreeSet;

use super::{Found, HostFile, Need, Other, User};
use crate::finding::Finding;

const DIFFERS: &str = "HostFileDiffers";
const MISSING: &str = "HostFileMissing";
const INCOMPARABLE: &str = "HostFileIncomparable";
const SYMBOL: &str = "HostSymbolMissing";
/// Every one, for the test that holds them against the documentation.
#[cfg(test)]
pub(super) const NAMES: &[&str] = &[DIFFERS, MISSING, INCOMPARABLE, SYMBOL];

const GONE: &str = " (deleted)";
/// Of `//deleted`, as a path has it.
const GONE_ROOT: &str = "/deleted";

/// Symbols that are named in messages; the others are counted.
const NAMED: usize = 8;

/// What stands against using the destination's file, if anything. `node` is the destination's name.
pub fn compare(source: &HostFile, node: &str, found: &Found) -> Vec<Finding> {
    match found {
        Found::Same => Vec::new(),
        Found::Missing => vec![missing(source, node)],
        Found::Incomparable => vec![incomparable(source, node)],
        Found::Differs(other) => differs(source, node, other),
    }
}

fn missing(source: &HostFile, node: &str) -> Finding {
    let message = if is_gone(source) {
        format!(
            "{}, which {} uses, has been removed or replaced on the source's node since; start the pod anew",
            source.path.trim_end_matches(GONE),
            users(source)
        )
    } else {
        format!(
            "{node} has no {}, which {} uses as {}; install it there, or choose another node",
            source.on_node,
            users(source),
            source.path
        )
    };
    of_file(MISSING, source, message)
}

/// Whether the source's node has it under that name no more: the kernel says so behind the name, of a file that is mounted itself behind the root of
/// its mount (`d_path` in `fs/d_path.c`, `show_mountinfo`).
fn is_gone(source: &HostFile) -> bool {
    source.path.ends_with(GONE) || source.on_node.ends_with(GONE_ROOT) && !source.path.ends_with(GONE_ROOT)
}

fn differs(source: &HostFile, node: &str, other: &Other) -> Vec<Finding> {
    let name = short_name(&source.path);
    let mut findings = missing_symbols(source, node, other, name);
    let own = source
        .content
        .as_ref()
        .map_or_else(String::new, |it| describe(it.size, it.build_id.as_deref()));
    let message = format!(
        "{node}'s {name} is another file than the source's ({own} on the source's node, {} on {node}), and {} uses it: {}; give both nodes the same build of {}",
        describe(other.size, other.build_id.as_deref()),
        users(source),
        consequence(source, other),
        source.on_node
    );
    findings.push(of_file(DIFFERS, source, message));
    findings
}

/// The file is too large or cannot be read, on one of the nodes.
fn incomparable(source: &HostFile, node: &str) -> Finding {
    let message = format!(
        "{}, which {} uses, cannot be compared with that of {node}: it is larger than {} MiB or cannot be read; mount less of the node",
        source.path,
        users(source),
        super::MAX_BYTES >> 20
    );
    of_file(INCOMPARABLE, source, message)
}

/// One finding per process and symbol that it will look for in vain.
fn missing_symbols(source: &HostFile, node: &str, other: &Other, name: &str) -> Vec<Finding> {
    let mut told = BTreeSet::new();
    let missing = source
        .needs
        .iter()
        .filter(|need| need.unbound && other.lacks.contains(&need.symbol));
    let new = missing.filter(|need| told.insert((need.user, need.symbol.clone())));
    new.take(NAMED)
        .filter_map(|need| {
            let user = source.users.get(need.user)?;
            let message = format!(
                "{node}'s {name} lacks {}, which {} (pid {}) has not resolved yet ({} needs it): it would die at its first call; give both nodes the same build of {}",
                symbol(need),
                user.process,
                user.pid,
                need.object,
                source.on_node
            );
            Some(finding(SYMBOL, source, Some(user), symbol(need), message))
        })
        .collect()
}

/// What would become of the processes.
fn consequence(source: &HostFile, other: &Other) -> String {
    let unbound: BTreeSet<String> = source
        .needs
        .iter()
        .filter(|need| need.unbound)
        .map(symbol)
        .collect();
    let lacking: BTreeSet<String> = source
        .needs
        .iter()
        .filter(|need| other.lacks.contains(&need.symbol))
        .map(symbol)
        .collect();
    let mapped = source.users.iter().any(|user| user.mapped);
    let text = match (mapped, other.is_elf && !source.needs.is_empty()) {
        (false, _) => return "it would read other content".into(),
        (true, false) => {
            return "pages of it that were not written are read from the destination's file".into();
        }
        (true, true) if unbound.is_empty() => {
            "all its symbols are bound, so that calls would go to the addresses of the source's file"
                .to_owned()
        }
        (true, true) => format!(
            "it is bound lazily, and {} symbols would be looked up in the destination's file with the tables of the source's ({})",
            unbound.len(),
            some(&unbound)
        ),
    };
    if lacking.is_empty() {
        text
    } else {
        format!("{text}; the destination's file lacks {}", some(&lacking))
    }
}

fn some(symbols: &BTreeSet<String>) -> String {
    let named: Vec<&str> = symbols.iter().take(NAMED).map(String::as_str).collect();
    let more = symbols.len().saturating_sub(NAMED);
    let and = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    named.join(", ") + &and
}

fn symbol(need: &Need) -> String {
    let symbol = &need.symbol;
    if symbol.version.is_empty() {
        symbol.name.clone()
    } else {
        format!("{}@{}", symbol.name, symbol.version)
    }
}

fn describe(size: u64, build_id: Option<&[u8]>) -> String {
    match build_id {
        Some(id) => {
            let short: Vec<String> = id.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
            format!("{size} bytes, build {}", short.concat())
        }
        None => format!("{size} bytes"),
    }
}

fn users(source: &HostFile) -> String {
    let named = source.users.first().map(|user| {
        format!(
            "{} (pid {}) of container {}",
            user.process, user.pid, user.container
        )
    });
    let more = source.users.len().saturating_sub(1);
    let and = if more > 0 {
        format!(" and {more} more processes")
    } else {
        String::new()
    };
    named.unwrap_or_else(|| "the pod".into()) + &and
}

fn short_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A finding of the file as a whole, told of the first who uses it.
fn of_file(check: &'static str, source: &HostFile, message: String) -> Finding {
    finding(check, source, source.users.first(), source.path.clone(), message)
}

fn finding(
    check: &'static str,
    source: &HostFile,
    user: Option<&User>,
    object: String,
    message: String,
) -> Finding {
    let first = source.users.first();
    Finding {
        check,
        refuse: true,
        container: user
            .or(first)
            .map(|user| user.container.clone())
            .unwrap_or_default(),
        pid: user.map(|user| user.pid),
        process: user.map(|user| user.process.clone()).unwrap_or_default(),
        object,
        message,
    }
}

#[cfg(test)]
mod tests {
    use godwit_crds::checks::files;

    use super::*;
    use crate::files::{Content, Here};

    #[test]
    fn every_check_is_documented() {
        let documented: BTreeSet<&str> = files::ALL.iter().map(|check| check.name).collect();
        assert_eq!(documented, NAMES.iter().copied().collect());
    }

    fn source(content: Option<u8>) -> HostFile {
        HostFile {
            path: "/usr/lib/libfoo.so.2".into(),
            on_node: "/opt/libfoo.so.2".into(),
            content: content.map(of),
            users: vec![User {
                container: "app".into(),
                pid: 12,
                process: "redis".into(),
                mapped: true,
            }],
            needs: Vec::new(),
        }
    }

    fn of(byte: u8) -> Content {
        Content {
            size: 5,
            digest: [byte; 32],
            build_id: Some(vec![byte; 20]),
        }
    }

    fn here(content: Option<u8>) -> Here {
        Here {
            content: content.map(of),
            elf: None,
        }
    }

    fn against(source: &HostFile, here: Option<&Here>) -> Vec<Finding> {
        let content = source.content.as_ref();
        let wanted = content.map(|it| (it.size, &it.digest[..]));
        compare(source, "n2", &Found::of(here, wanted, []))
    }

    #[test]
    fn what_was_replaced_on_the_source_is_told_so() {
        let mut file = source(Some(1));
        let text = |file: &HostFile| against(file, None).remove(0).message;
        assert!(text(&file).contains("n2 has no /opt/libfoo.so.2"));
        file.on_node.push_str("/deleted");
        let message = text(&file);
        assert!(
            message.contains("/usr/lib/libfoo.so.2, which")
                && message.contains("replaced on the source's node"),
            "{message}"
        );
        file.on_node = "/opt/libfoo.so.2 (deleted)".into();
        file.path.push_str(" (deleted)");
        assert_eq!(text(&file), message);
    }

    #[test]
    fn what_is_equal_is_not_told() {
        assert_eq!(against(&source(Some(1)), Some(&here(Some(1)))), []);
    }

    #[test]
    fn what_is_not_there_or_not_comparable_is_refused() {
        let checks = |source: &HostFile, here: Option<&Here>| -> Vec<&str> {
            against(source, here).iter().map(|found| found.check).collect()
        };
        assert_eq!(checks(&source(Some(1)), None), [MISSING]);
        assert_eq!(checks(&source(None), Some(&here(Some(1)))), [INCOMPARABLE]);
        assert_eq!(checks(&source(Some(1)), Some(&here(None))), [INCOMPARABLE]);
        assert_eq!(checks(&source(Some(1)), Some(&here(Some(2)))), [DIFFERS]);
        let found = against(&source(Some(1)), Some(&here(Some(2)))).remove(0);
        for part in [
            "n2's libfoo.so.2",
            "build 010101010101 on the source's node",
            "redis (pid 12)",
            "/opt/libfoo.so.2",
        ] {
            assert!(found.message.contains(part), "{}", found.message);
        }
    }
}
