//! What the passes cost, on an overlay of its own; needs root: `cargo run --release -p godwit-files --example pass_costs`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot set up its scene has failed"
)]

#[path = "../tests/overlay/mod.rs"]
mod overlay;

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use godwit_files::{ApplyState, Marks, SharedMapped, Target, apply, write_base, write_delta};
use overlay::{Lab, let_slack_pass};

fn main() {
    let lab = Lab::new("", |_| {});
    let root = &lab.source.merged;
    for dir in 0..100 {
        fs::create_dir(root.join(format!("d{dir}"))).unwrap();
        for file in 0..100 {
            fs::write(root.join(format!("d{dir}/f{file}")), vec![b'x'; 2048]).unwrap();
        }
    }
    let big = fs::File::create(root.join("big")).unwrap();
    for chunk in 0..512_u64 {
        big.write_all_at(&vec![7; 1 << 20], chunk << 21).unwrap();
    }
    big.set_len(1 << 30).unwrap();
    let_slack_pass();
    let source = lab.open(Marks::Trusted);
    let mut stream = Vec::new();
    let at = Instant::now();
    let base = write_base(&source, &SharedMapped::none(), &mut stream).unwrap();
    println!(
        "base: {:?} for {:?}, {} bytes of stream",
        at.elapsed(),
        base.stats(),
        stream.len()
    );
    let mut state = ApplyState::default();
    let at = Instant::now();
    apply(
        &mut stream.as_slice(),
        &Target::open(&lab.target.merged).unwrap(),
        &mut state,
    )
    .unwrap();
    println!("apply: {:?}", at.elapsed());
    for (what, write) in [("nothing", 0), ("100 files", 100)] {
        for dir in 0..write {
            fs::write(root.join(format!("d{dir}/f0")), "changed").unwrap();
        }
        let mut stream = Vec::new();
        let at = Instant::now();
        let sent = write_delta(&source, &base, &SharedMapped::none(), &mut stream).unwrap();
        println!("delta, {what} changed: {:?} for {sent:?}", at.elapsed());
        if write == 0 {
            // One delta only follows a base.
            continue;
        }
        let at = Instant::now();
        apply(
            &mut stream.as_slice(),
            &Target::open(&lab.target.merged).unwrap(),
            &mut state,
        )
        .unwrap();
        println!("apply: {:?}", at.elapsed());
    }
}
