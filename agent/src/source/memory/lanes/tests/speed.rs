//! How fast a round is; run by hand, in release: `cargo test --release -p godwit-agent --lib lanes_speed -- --ignored --nocapture`.

use godwit_memory::wire::Decoder;
use godwit_transfer::{
    ContainerEntry, Empty, Event, Hello, Limits, Manifest, Message, ObjectKind, ObjectSpec, Role,
};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};
use tokio::{sync::mpsc, task::spawn_blocking, time::Instant};

use super::{
    super::super::pump::LinkClock,
    super::reading::{Out, Reading, Share, Way},
    *,
};
use crate::{
    peer::{self, PeerListener},
    target::stores::{Stores, keep},
};

fn cpu_ms() -> i64 {
    let used = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    used.user_time().num_milliseconds() + used.system_time().num_milliseconds()
}

/// How it was before there were lanes: one object on the connection of the migration, and nothing is waited for but its end.
async fn one_object(area: &Area, pages: &[usize]) {
    let authority = Authority::new();
    let identity = Arc::new(authority.identity("n2"));
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let mut listener = PeerListener::bind(any, identity, timing(), Limits::default())
        .await
        .unwrap();
    let caller = Arc::new(authority.identity("n1"));
    let hello = Hello::new(Role::Migrate, UID, "n1");
    let (dialled, accepted) = tokio::join!(
        peer::greet_within(timing(), listener.address(), "n2", &caller, hello),
        async { listener.accept().await.unwrap().welcome().await.unwrap() }
    );
    let ((source, mut from_target), (target, mut from_source)) = (dialled.unwrap(), accepted);
    let manifest = Manifest {
        source_pod_uid: "s".to_owned(),
        target_pod_uid: "t".to_owned(),
        hostname: "h".to_owned(),
        addresses: vec![],
        containers: vec![ContainerEntry {
            name: CONTAINER.to_owned(),
            image_id: "i".to_owned(),
            runtime: "runc".to_owned(),
            image: "i".to_owned(),
            owns_sysv: true,
            lazy: true,
        }],
    };
    source.send(Message::Manifest(manifest)).await.unwrap();
    from_source.recv().await.unwrap();
    target.send(Message::ManifestOk(Empty {})).await.unwrap();
    from_target.recv().await.unwrap();

    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = Stores::new(dir.path()).of(CONTAINER).unwrap();
    let (batches, mut waiting) = mpsc::channel(8);
    let keeping = spawn_blocking(move || {
        let mut decoder = Decoder::new();
        while let Some(batch) = waiting.blocking_recv() {
            let batch: bytes::Bytes = batch;
            keep(&store, &mut decoder, &batch).unwrap();
        }
    });
    let receiving = tokio::spawn(async move {
        loop {
            match from_source.recv().await.unwrap() {
                Event::Chunk { data, .. } => batches.send(data).await.unwrap(),
                Event::ObjectEnd { .. } => return,
                _ => {}
            }
        }
    });
    let plan = Plan::new(1, [(CONTAINER.to_owned(), area.round(pages), PageSet::default())]);
    let (queue, mut out) = mpsc::channel(8);
    let clock = Arc::new(LinkClock::default());
    let way = Way {
        queue,
        clock: clock.clone(),
    };
    let reading = spawn_blocking(move || Reading::new(1).run(&plan, &mut Share::default(), &way).unwrap());
    let kind = ObjectKind::Pages {
        container: CONTAINER.to_owned(),
        round: 1,
    };
    let id = source.begin_object(ObjectSpec::new(kind)).await.unwrap();
    while let Some(one) = out.recv().await {
        if let Out::Batch { bytes, .. } = one {
            let (length, began) = (bytes.len(), Instant::now());
            source.send_chunk(id, bytes).await.unwrap();
            clock.note(length, began.elapsed());
        }
    }
    source.end_object(id).await.unwrap();
    reading.await.unwrap();
    receiving.await.unwrap();
    keeping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, not a test"]
async fn lanes_speed() {
    let area = Area::random(128 * 1024);
    let all: Vec<usize> = (0..area.pages()).collect();
    for turn in 0..5 {
        let (began, cpu) = (Instant::now(), cpu_ms());
        one_object(&area, &all).await;
        let (took, cpu) = (began.elapsed(), cpu_ms() - cpu);
        println!("turn {turn}, no lanes: 512 MiB in {took:?}, CPU {cpu} ms of both sides");
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
