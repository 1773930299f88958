//! `cost PID…`: what a look at these processes costs, as if they were one container: processor time of this program, and what was found.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::path::PathBuf;
use std::time::Duration;

use godwit_preflight::files::{Cache, used};
use godwit_preflight::{Container, Pod, look};
use rustix::time::{ClockId, clock_gettime};

fn spent() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

fn main() {
    let pod = Pod {
        proc: PathBuf::from("/proc"),
        containers: vec![Container {
            name: "all".into(),
            pids: std::env::args()
                .skip(1)
                .filter_map(|word| word.parse().ok())
                .collect(),
            mounts: Vec::new(),
        }],
        ghost_limit: 256 << 20,
        watches_on_overlay: false,
    };
    let begun = spent();
    let found = look(&pod);
    let looked = spent();
    let files = used(&pod, &mut Cache::default());
    println!(
        "{} processes: look {:?} with {} findings, files {:?} with {} of the node",
        pod.containers[0].pids.len(),
        looked.checked_sub(begun).unwrap_or_default(),
        found.len(),
        spent().checked_sub(looked).unwrap_or_default(),
        files.len()
    );
    for finding in found {
        println!(
            "{} (refuse: {}): {}",
            finding.check, finding.refuse, finding.message
        );
    }
}
