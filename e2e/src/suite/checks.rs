//! What needs no cluster: the source text, and the crates' own tests.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use super::Tally;
use crate::{cache, command, paths, recipes};

/// The checker of what is depended on.
const DENY: &str = "cargo-deny@0.20.2";
/// What it checks. Not the advisories: their database is a Git repository elsewhere, so that the result would not be
/// decided by this source alone, and there would be none without that network.
const DENIED: [&str; 4] = ["check", "bans", "licenses", "sources"];
/// How long building it may take, once per machine: a few minutes on two CPUs. The rest of a run has to fit in, too.
const DENY_SECONDS: &str = "900";
/// Crates with tests that need root.
const WITH_ROOT_TESTS: [&str; 7] = [
    "godwit-files",
    "godwit-memory",
    "godwit-network",
    "godwit-preflight",
    "godwit-container",
    "godwit-runtime",
    "godwit-e2e",
];

/// Run all of it; gives how many checks and tests passed, and one line of summary for each set.
pub fn all() -> (Tally, Vec<String>) {
    let mut total = Tally::default();
    let mut summaries = Vec::new();
    let sets: [(&str, &[&str], bool); 4] = [
        ("format", &["fmt", "--all", "--check"], false),
        (
            "lints",
            &[
                "clippy",
                "--quiet",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ],
            false,
        ),
        (
            "lints with faults and root tests",
            &[
                "clippy",
                "--quiet",
                "--workspace",
                "--all-targets",
                "--all-features",
                "--",
                "-D",
                "warnings",
            ],
            false,
        ),
        ("tests", &["test", "--workspace", "--no-fail-fast"], true),
    ];
    for (name, arguments, counted) in sets {
        let tally = ran(name, cargo(arguments), counted);
        total.add(tally);
        summaries.push(format!("{name}: {tally}"));
    }
    let mut rooted = cargo(&["test", "--no-fail-fast", "--test", "root_*", "--features"]);
    rooted.arg(WITH_ROOT_TESTS.map(|name| format!("{name}/root-tests")).join(","));
    for name in WITH_ROOT_TESTS {
        rooted.args(["--package", name]);
    }
    // Without it the tests that dump take this machine's CRIU, and say what is missing.
    if let Ok(tree) = recipes::debian::ensure() {
        rooted.env("GODWIT_CRIU_TREE", tree);
    }
    let tally = ran("tests that need root", rooted, true);
    total.add(tally);
    summaries.push(format!("tests that need root: {tally}"));
    match deny() {
        Ok(mut program) => {
            program
                .current_dir(paths::workspace())
                .arg("--all-features")
                .args(DENIED);
            let tally = ran("dependencies and their licences", program, false);
            total.add(tally);
            summaries.push(format!("dependencies and their licences: {tally}"));
        }
        Err(error) => {
            println!("SKIPPED dependencies and their licences: {error:#}");
            summaries.push("dependencies and their licences: SKIPPED (see above)".to_owned());
        }
    }
    (total, summaries)
}

fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = command::bound(cargo_program());
    cargo.current_dir(paths::workspace()).args(arguments);
    cargo
}

/// Run it with its output kept; shown if it fails. A set of tests counts each of them, anything else counts as one.
fn ran(name: &str, mut command: Command, counted: bool) -> Tally {
    // The first run of all builds Kubernetes in here: a reader who waits shall know for what.
    println!("begun   {name}");
    let began = Instant::now();
    let (success, text) = match command.stdin(Stdio::null()).output() {
        Ok(output) => (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        ),
        Err(error) => (false, error.to_string()),
    };
    let mut tally = if counted { count(&text) } else { Tally::default() };
    // A set that fails without one of its tests failing (it does not compile) is a failure all the same.
    if !counted {
        tally.count(success);
    } else if !success && tally.failed == 0 {
        tally.failed = 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    if success {
        println!("ok      {name} ({seconds:.1} s)");
    } else {
        println!("FAILED  {name} ({seconds:.1} s)");
        for line in text.lines() {
            println!("    {line}");
        }
    }
    tally
}

/// Sum up the lines `test result: ok. 3 passed; 0 failed; …` of cargo's output.
fn count(output: &str) -> Tally {
    let number = |line: &str, word: &str| -> u32 {
        let before = line.split(word).next().unwrap_or_default();
        before
            .split_whitespace()
            .last()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    };
    let mut tally = Tally::default();
    for line in output.lines().filter(|line| line.starts_with("test result: ")) {
        tally.passed += number(line, " passed");
        tally.failed += number(line, " failed");
    }
    tally
}

/// The user's own `cargo-deny`, else one built into the cache.
fn deny() -> Result<Command> {
    if command::exists("cargo-deny") {
        return Ok(command::bound("cargo-deny"));
    }
    let dir: PathBuf = cache::ensure("cargo-deny", &[DENY.as_bytes()], |dir| {
        let mut install = command::contained("timeout");
        install
            .args(["--kill-after=10", DENY_SECONDS])
            .arg(cargo_program())
            .args(["install", "--quiet", "--locked", "--root"])
            .arg(dir)
            .arg(DENY)
            // Where cargo builds: it goes with the folder if building is cut short.
            .env("TMPDIR", dir)
            .current_dir(paths::workspace())
            .env_remove("CARGO_TARGET_DIR");
        command::output(&mut install).map(drop)
    })
    .context("cargo-deny is not installed and cannot be")?;
    Ok(command::bound(dir.join("bin/cargo-deny")))
}

#[cfg(test)]
mod tests {
    use super::{Tally, count};

    #[test]
    fn results_of_all_binaries_are_summed() {
        let output = "running 3 tests\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test it ... FAILED\n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(count(output), Tally { passed: 4, failed: 2 });
    }
}
