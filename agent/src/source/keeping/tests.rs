//! A connection over a wire that breaks, between a source that copies memory and a target that receives it.

use std::{net::SocketAddr, sync::Arc};

use godwit_crds::{PodMigration, SourceReport, SourceState};
use godwit_transfer::{
    Abort, ContainerEntry, ContainerName, Empty, Limits, ObjectKind, ObjectSpec, Pass, Role,
};
use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinHandle};

use super::*;
use crate::{
    peer::{
        PeerListener, Timing,
        tests::{
            authority::Authority,
            proxy::{Fate, Proxy},
        },
    },
    target::{
        inbox::Inbox,
        link::{Link, Receiving},
    },
};

const UID: &str = "5f0c7c0e-0000-4000-8000-000000000001";

/// Deadlines that keep failing tests short.
fn timing() -> Timing {
    Timing {
        handshake: Duration::from_secs(3),
        stall: Duration::from_millis(500),
        ping_after: Duration::from_millis(100),
        silence: Duration::from_millis(500),
        ..Timing::default()
    }
}

fn manifest() -> Manifest {
    Manifest {
        source_pod_uid: "s".to_owned(),
        target_pod_uid: "t".to_owned(),
        hostname: "h".to_owned(),
        addresses: vec![],
        host_paths: vec![],
        other_files: vec![],
        containers: vec![ContainerEntry {
            name: "app".to_owned(),
            image_id: "i".to_owned(),
            runtime: "runc".to_owned(),
            image: "i".to_owned(),
            owns_sysv: true,
            lazy: true,
        }],
        ..Manifest::default()
    }
}

fn migration() -> PodMigration {
    let spec = serde_json::from_value(serde_json::json!({ "podName": "p" })).unwrap();
    PodMigration::new("m", spec)
}

/// The target's side; what its attempt ends with, and whether it was asked to end the parking by then.
type Ended = JoinHandle<(Failure, bool)>;

struct Stage {
    proxy: Proxy,
    dial: Dial,
    link: (Sender, Receiver),
    /// The target's end; what it sends on stays the same.
    target: Sender,
    ended: Ended,
    updates: watch::Sender<Arc<PodMigration>>,
    listening: JoinHandle<()>,
    _dir: TempDir,
}

impl Stage {
    /// Up to where memory is copied, with one object that has arrived.
    async fn new(within: Duration) -> Self {
        let authority = Authority::new();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let identity = Arc::new(authority.identity("n2"));
        let mut listener = PeerListener::bind(any, identity, timing(), Limits::default())
            .await
            .unwrap();
        let proxy = Proxy::start(listener.address(), []).await;
        let (door, mut links) = mpsc::channel(2);
        let listening = tokio::spawn(async move {
            while let Some(caller) = listener.accept().await {
                let resumes = caller.hello().resumes;
                let (sender, receiver) = caller.welcome().await.unwrap();
                let link = Link {
                    sender,
                    receiver,
                    resumes,
                };
                if door.send(link).await.is_err() {
                    return;
                }
            }
        });
        let identity = Arc::new(authority.identity("n1"));
        let mut dial = Dial::new((proxy.address, "n2"), (identity.clone(), "n1"), UID);
        dial.timing = timing();
        let hello = Hello::new(Role::Migrate, UID, "n1");
        let (sender, mut receiver) = peer::greet_within(timing(), proxy.address, "n2", &identity, hello)
            .await
            .unwrap();
        let Link {
            sender: target,
            receiver: mut from_source,
            resumes,
        } = links.recv().await.unwrap();
        assert_eq!(resumes, None);
        sender.send(Message::Manifest(manifest())).await.unwrap();
        from_source.recv().await.unwrap();
        target
            .send(Message::ManifestOk(godwit_transfer::Agreed::default()))
            .await
            .unwrap();
        receiver.recv().await.unwrap();

        let dir = tempfile::tempdir().unwrap();
        let mut inbox = Inbox::new(dir.path().to_path_buf());
        let (news, mut arrivals) = (inbox.watch(), inbox.watch());
        let (updates, mut seen) = watch::channel(Arc::new(migration()));
        let sends = target.clone();
        let ended = tokio::spawn(async move {
            let receiving = Receiving {
                sender: &sends,
                receiver: &mut from_source,
                inbox: &mut inbox,
                links: &mut links,
                updates: &mut seen,
                manifest: &manifest(),
                within,
            };
            let failure = receiving.run().await;
            let parking = news.borrow().end_parking;
            (failure, parking)
        });
        let base = ObjectKind::FileStream {
            container: Some("app".to_owned()),
            pass: Pass::Base,
        };
        let id = sender.begin_object(ObjectSpec::new(base)).await.unwrap();
        sender.send_chunk(id, vec![7; 1 << 20].into()).await.unwrap();
        sender.end_object(id).await.unwrap();
        arrivals.wait_for(|arrivals| arrivals.ended == 1).await.unwrap();
        Self {
            proxy,
            dial,
            link: (sender, receiver),
            target,
            ended,
            updates,
            listening,
            _dir: dir,
        }
    }

    /// Until the connection, which is broken, has been resumed so many times, or cannot be; each time but the last it is broken again.
    async fn keep(&mut self, times: usize, change: impl FnOnce(&mut Keeping<'_>)) -> Result<(), Failure> {
        let said = manifest();
        let far = Instant::now() + Duration::from_mins(1);
        let mut keeping = Keeping::new(&mut self.link, self.dial.clone(), &said, far);
        keeping.within = Duration::from_secs(1);
        change(&mut keeping);
        let (tell, mut connected) = watch::channel(true);
        let counting = async {
            for time in 0..times {
                if time > 0 {
                    self.proxy.cut();
                }
                connected.wait_for(|connected| !connected).await.unwrap();
                connected.wait_for(|connected| *connected).await.unwrap();
            }
        };
        tokio::select! {
            failure = keeping.run(&tell) => Err(failure),
            () = counting => Ok(()),
        }
    }

    /// Ends the parking; gives what the target has said to it.
    async fn end_parking(&self) -> Message {
        self.link.0.send(Message::EndParking(Empty {})).await.unwrap();
        let parked = Message::Parked(ContainerName::new("app"));
        // The target's rule: it must have heard EndParking.
        while self.target.send(parked.clone()).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
        parked
    }

    /// What is said arrives, in both directions.
    async fn still_talks(mut self) {
        let parked = self.end_parking().await;
        let heard = self.link.1.recv().await.unwrap();
        assert_eq!(heard, Event::Message(parked));
        let abort = Message::Abort(Abort::new("CopyMemory", "Enough", "enough"));
        self.link.0.send(abort).await.unwrap();
        let (failure, parking) = self.ended.await.unwrap();
        assert_eq!((failure.reason.as_str(), parking), ("Enough", true));
    }
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_is_resumed_as_often_as_it_does() {
    let mut stage = Stage::new(LONG).await;
    // While it is resumed: in the handshake, and in the middle of what is said after it.
    stage
        .proxy
        .next((1..8).map(|some| Fate::Breaks(some * 400)).chain([Fate::Holds]));
    stage.proxy.cut();
    stage.keep(3, |keeping| keeping.within = LONG).await.unwrap();
    assert!(stage.proxy.connections() > 3);
    stage.still_talks().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_any_more_is_resumed() {
    let mut stage = Stage::new(LONG).await;
    stage.proxy.stall();
    stage.keep(1, |_| {}).await.unwrap();
    stage.still_talks().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_may_have_been_lost() {
    let mut stage = Stage::new(LONG).await;
    stage.proxy.cut();
    let failure = stage.keep(1, |keeping| keeping.ended += 1).await.unwrap_err();
    assert!(
        failure.message.contains("not all that was sent had arrived"),
        "{failure}"
    );
    assert!(failure.message.contains("ResumeImpossible"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_pod_cannot_take_its_place() {
    let mut stage = Stage::new(LONG).await;
    let other = Manifest {
        source_pod_uid: "x".to_owned(),
        ..manifest()
    };
    stage.proxy.cut();
    let failure = stage
        .keep(1, |keeping| keeping.manifest = Box::leak(Box::new(other)))
        .await
        .unwrap_err();
    assert!(failure.message.contains("manifest is not the one"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_gone_is_told_by_name() {
    let mut stage = Stage::new(LONG).await;
    stage.proxy.end();
    stage.listening.abort();
    let failure = stage.keep(1, |_| {}).await.unwrap_err();
    assert!(
        ["ConnectionLost", "PeerClosed"].contains(&failure.reason.as_str()),
        "{failure}"
    );
    assert!(failure.message.contains("was not resumed"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_gives_up_is_heard() {
    let mut stage = Stage::new(LONG).await;
    let abort = Message::Abort(Abort::new("ReceivePages", "NoSpaceForPages", "full"));
    stage.target.send(abort).await.unwrap();
    let failure = stage.keep(1, |_| {}).await.unwrap_err();
    assert_eq!(failure, Failure::new("ReceivePages", "NoSpaceForPages", "full"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_resumed_once_the_parking_ends() {
    let stage = Stage::new(LONG).await;
    stage.end_parking().await;
    stage.proxy.cut();
    let (failure, parking) = stage.ended.await.unwrap();
    assert!(parking, "{failure}");
    assert_eq!(failure.step, "Receive");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_waited_for_no_longer_than_it_should() {
    let stage = Stage::new(Duration::from_millis(300)).await;
    stage.proxy.end();
    let (failure, _) = stage.ended.await.unwrap();
    assert!(
        ["ConnectionLost", "PeerClosed"].contains(&failure.reason.as_str()),
        "{failure}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_has_gone_back_is_not_waited_for() {
    let stage = Stage::new(Duration::from_hours(1)).await;
    stage.proxy.end();
    let mut migration = migration();
    migration.status.get_or_insert_default().source = Some(SourceReport {
        state: SourceState::RolledBack,
        ..SourceReport::default()
    });
    stage.updates.send_replace(Arc::new(migration));
    stage.ended.await.unwrap();
}
