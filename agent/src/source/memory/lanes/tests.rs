//! A source and a target over a wire that breaks: what the target keeps is what the source has.

mod memory;
mod refused;
mod target;

use std::{sync::Arc, time::Duration};

use godwit_memory::page_set::PageSet;
use proptest::prelude::*;

use self::{
    memory::{Area, PROCESS},
    target::{CONTAINER, Target, UID},
};
use super::{super::pump::Sent, *};
use crate::{
    peer::tests::{
        authority::Authority,
        proxy::{Fate, Proxy},
        timing,
    },
    target::pages::PagesError,
};

const MIB: u64 = 1 << 20;
/// For lanes that are of no use.
const SHORT: Duration = Duration::from_millis(700);

fn dial(authority: &Authority, address: std::net::SocketAddr) -> Dial {
    let identity = Arc::new(authority.identity("n1"));
    let mut dial = Dial::new((address, "n2"), (identity, "n1"), UID);
    dial.timing = timing();
    dial.pauses = (Duration::from_millis(1), Duration::from_millis(20));
    dial
}

/// Two agents with a wire between them.
struct Stage {
    target: Target,
    proxy: Proxy,
    lanes: Lanes,
    kept: PageSet,
    number: u32,
}

impl Stage {
    async fn new(lanes: usize, fates: impl IntoIterator<Item = Fate>) -> Self {
        Self::patient(lanes, fates, Duration::from_secs(10)).await
    }

    async fn patient(lanes: usize, fates: impl IntoIterator<Item = Fate>, patience: Duration) -> Self {
        let authority = Authority::new();
        let target = Target::start(&authority).await;
        let proxy = Proxy::start(target.address, fates).await;
        let mut dial = dial(&authority, proxy.address);
        dial.give_up_after = patience;
        Self {
            lanes: Lanes::new(dial, lanes),
            target,
            proxy,
            kept: PageSet::default(),
            number: 0,
        }
    }

    /// One round of those pages.
    async fn round(&mut self, area: &Area, pages: &[usize]) -> Result<Sent, Failure> {
        self.number += 1;
        let part = (
            CONTAINER.to_owned(),
            area.round(pages),
            std::mem::take(&mut self.kept),
        );
        let plan = Arc::new(Plan::new(self.number, [part]));
        let (caps, sent) = (
            Caps::new(None, None, tokio::time::Instant::now()),
            Sent::default(),
        );
        self.lanes.round(plan.clone(), &caps, &sent).await?;
        self.kept = Arc::into_inner(plan).unwrap().finish().next().unwrap();
        Ok(sent)
    }

    /// The target has what the area holds, and the source knows it.
    fn same(&self, area: &Area) {
        let store = self.target.stores.of(CONTAINER).unwrap();
        let mut there = [0; 4096];
        for page in 0..area.pages() {
            store.read(PROCESS, area.address(page), &mut there).unwrap();
            assert!(there == area.page(page), "page {page} is another one");
            assert!(self.kept.contains(PROCESS, area.address(page)));
        }
        assert_eq!(self.kept.len(), area.pages() as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_arrive_by_any_number_of_lanes() {
    for lanes in [1, 3] {
        let mut area = Area::new(2600);
        let mut stage = Stage::new(lanes, []).await;
        let all: Vec<usize> = (0..area.pages()).collect();
        let sent = stage.round(&area, &all).await.unwrap();
        stage.same(&area);
        assert_eq!(sent.pages(), 2600);
        let some: Vec<usize> = (0..area.pages()).step_by(3).collect();
        area.write(&some, 77);
        let sent = stage.round(&area, &some).await.unwrap();
        stage.same(&area);
        assert_eq!(sent.pages(), some.len() as u64);
        stage.round(&area, &[]).await.unwrap();
        assert!(
            stage.proxy.connections() <= lanes as u64,
            "kept from round to round"
        );
        // Whether the link was ever full, and its speed thus seen, is the machine's affair.
        stage.lanes.end().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Wherever connections break, and however often, the target ends with the source's memory after each round.
    #[test]
    fn any_cuts_give_the_same_memory(
        lanes in 1..4_usize,
        cuts in prop::collection::vec(0..9 * MIB, 0..8),
        seed in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut area = Area::new(2100 + usize::try_from(seed % 500).unwrap());
            let mut stage = Stage::new(lanes, cuts.iter().copied().map(Fate::Breaks)).await;
            let all: Vec<usize> = (0..area.pages()).collect();
            stage.round(&area, &all).await.unwrap();
            stage.same(&area);
            for round in 1..3 {
                stage.proxy.next(cuts.iter().map(|cut| Fate::Breaks(cut / 4)));
                let step = usize::try_from(seed >> (8 * round) & 7).unwrap() + 1;
                let some: Vec<usize> = (0..area.pages()).step_by(step).collect();
                area.write(&some, seed ^ round);
                stage.round(&area, &some).await.unwrap();
                stage.same(&area);
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_not_kept_is_sent_again() {
    let area = Area::random(16 * 1024);
    let mut stage = Stage::new(1, [Fate::Breaks(50 * MIB)]).await;
    let all: Vec<usize> = (0..area.pages()).collect();
    stage.round(&area, &all).await.unwrap();
    stage.same(&area);
    assert_eq!(stage.proxy.connections(), 2);
    // 64 MiB, and what at most may be on its way, 8 pieces, with what waits in the wire itself.
    let carried = stage.proxy.carried() / MIB;
    assert!((64..64 + 33 + 1).contains(&carried), "{carried} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_says_nothing_any_more_is_dialled_again() {
    let area = Area::random(4 * 1024);
    let mut stage = Stage::new(1, [Fate::Stalls(3 * MIB)]).await;
    let all: Vec<usize> = (0..area.pages()).collect();
    stage.round(&area, &all).await.unwrap();
    stage.same(&area);
    assert_eq!(stage.proxy.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_breaks_between_two_rounds_is_dialled_again() {
    let mut area = Area::new(1500);
    let mut stage = Stage::new(1, []).await;
    let all: Vec<usize> = (0..area.pages()).collect();
    stage.round(&area, &all).await.unwrap();
    stage.proxy.end();
    stage.proxy = Proxy::start(stage.target.address, []).await;
    let old = std::mem::replace(&mut stage.lanes, Lanes(Vec::new()));
    // What the lanes know of pages they keep; only where they lead is another place.
    stage.lanes = Lanes(
        old.0
            .into_iter()
            .map(|lane| lane.leads_to(stage.proxy.address))
            .collect(),
    );
    area.write(&[3, 1400], 5);
    stage.round(&area, &[3, 1400]).await.unwrap();
    stage.same(&area);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_gone_ends_the_copy_by_name() {
    let area = Area::random(4 * 1024);
    let mut stage = Stage::patient(2, [], SHORT).await;
    let all: Vec<usize> = (0..area.pages()).collect();
    stage.target.end();
    let failure = stage.round(&area, &all).await.unwrap_err();
    assert_eq!(
        (failure.step.as_str(), failure.reason.as_str()),
        ("CopyMemory", "LaneLost")
    );
    assert!(failure.message.contains("node n2"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_gets_nowhere_ends_the_copy_by_name() {
    let area = Area::random(4 * 1024);
    // Each connection breaks before a piece is through.
    let mut stage = Stage::patient(1, vec![Fate::Breaks(2 * MIB); 1000], SHORT).await;
    let all: Vec<usize> = (0..area.pages()).collect();
    let failure = stage.round(&area, &all).await.unwrap_err();
    assert_eq!(failure.reason, "LaneLost");
    assert!(stage.proxy.connections() > 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_room_is_the_targets_failure() {
    let area = Area::random(2 * 1024);
    let mut stage = Stage::patient(1, [], SHORT).await;
    // Something else is where the store should be.
    std::fs::write(stage.target.dir.path().join(format!("{CONTAINER}.pages")), "").unwrap();
    let all: Vec<usize> = (0..area.pages()).collect();
    assert_eq!(stage.round(&area, &all).await.unwrap_err().reason, "LaneLost");
    let error = stage.target.failure().await;
    assert!(matches!(error, PagesError::Store(_)), "{error:?}");
}
