//! How fast a round is; run by hand, in release: `cargo test --release -p godwit-agent lanes_speed -- --ignored --nocapture`.

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};
use tokio::time::Instant;

use super::*;

fn cpu_ms() -> i64 {
    let used = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    used.user_time().num_milliseconds() + used.system_time().num_milliseconds()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, not a test"]
async fn lanes_speed() {
    let area = Area::random(128 * 1024);
    let all: Vec<usize> = (0..area.pages()).collect();
    for turn in 0..3 {
        for lanes in [1, 2, 4] {
            let mut stage = Stage::new(lanes, []).await;
            // The wire is not measured.
            let direct = stage.target.address;
            stage.lanes = Lanes(
                stage
                    .lanes
                    .0
                    .into_iter()
                    .map(|lane| lane.leads_to(direct))
                    .collect(),
            );
            let (began, cpu) = (Instant::now(), cpu_ms());
            stage.round(&area, &all).await.unwrap();
            let (took, cpu) = (began.elapsed(), cpu_ms() - cpu);
            println!("turn {turn}, {lanes} lanes: 512 MiB in {took:?}, CPU {cpu} ms of both sides");
        }
    }
}
