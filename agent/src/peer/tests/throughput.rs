//! How fast an object travels over the loopback interface; run by hand, in release:
//! `cargo test --release -p godwit-agent throughput -- --ignored --nocapture`.

use bytes::Bytes;
use godwit_transfer::CHUNK_LEN;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use tokio::time::Instant;

use super::*;

fn cpu_ms() -> i64 {
    let used = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    used.user_time().num_milliseconds() + used.system_time().num_milliseconds()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn throughput_of_one_object() {
    for megabytes in [70_usize, 70, 2048] {
        let ((source, _a), (_b, mut from_source), _listener) = frozen(Timing::default()).await;
        let chunk = Bytes::from(vec![0x5a; CHUNK_LEN]);
        let (started, cpu) = (Instant::now(), cpu_ms());
        let sending = tokio::spawn(async move {
            let id = source.begin_object(image("pages-1.img")).await.unwrap();
            for _ in 0..(megabytes << 20) / CHUNK_LEN {
                source.send_chunk(id, chunk.clone()).await.unwrap();
            }
            source.end_object(id).await.unwrap();
            source
        });
        loop {
            if let Event::ObjectEnd { len, .. } = from_source.recv().await.unwrap() {
                assert_eq!(len, (megabytes << 20) as u64);
                break;
            }
        }
        let took = started.elapsed();
        let rate = u128::try_from(megabytes).unwrap() * 1_000_000 / took.as_micros().max(1);
        println!(
            "{megabytes} MiB in {took:?}: {rate} MiB/s, CPU {} ms of both sides",
            cpu_ms() - cpu
        );
        drop(sending.await.unwrap());
    }
}
