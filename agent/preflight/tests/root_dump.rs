//! What the look finds, and what CRIU makes of it: each feature in a process of its own, in a container as runc would make it.
//!
//! Needs root, and CRIU: from a directory tree named by `GODWIT_CRIU_TREE`, or from `PATH`. `root_dump [PART OF A NAME]` runs the rows with such
//! names; `GODWIT_SHOW=1` prints what was found and what CRIU said instead of asserting it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "a test without the usual harness, because it plays the container too"
)]

#[path = "dump/criu.rs"]
mod criu;
#[path = "dump/features/mod.rs"]
mod features;
#[path = "dump/init.rs"]
mod init;
#[path = "dump/stage.rs"]
mod stage;
#[path = "dump/table.rs"]
mod table;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("init") => return init::main(&arguments[1], arguments[2].as_ref()),
        Some("feature") => return init::feature(&arguments[1]),
        Some("--list") => return,
        _ => {}
    }
    let part = arguments.iter().find(|word| !word.starts_with('-'));
    // Whatever hangs ends this, and with it the containers.
    // SAFETY: a plain system call.
    unsafe { libc::alarm(400) };
    let show = std::env::var_os("GODWIT_SHOW").is_some();
    let mut passed = 0;
    let mut wrong = Vec::new();
    for row in table::ROWS {
        if part.is_some_and(|part| !row.name.contains(part.as_str())) {
            continue;
        }
        println!("dump: {}", row.name);
        match stage::run(row, show) {
            Ok(()) => passed += 1,
            Err(error) => {
                println!("    {error}");
                wrong.push(row.name);
            }
        }
    }
    if wrong.is_empty() {
        println!("test result: ok. {passed} passed; 0 failed");
    } else {
        println!(
            "test result: FAILED. {passed} passed; {} failed: {wrong:?}",
            wrong.len()
        );
        std::process::exit(1);
    }
}
