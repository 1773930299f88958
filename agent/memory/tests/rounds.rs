//! Copies of simulated containers end, and as they should.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by panicking, also in its helpers.

use std::time::Duration;

use godwit_memory::rounds::{Costs, Estimate, MAX_ROUNDS, Mode, Next, Pace, Passed, Situation, decide};
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

/// A container and a link.
#[derive(Debug, Clone, Copy)]
struct World {
    /// Bytes of memory.
    memory: u64,
    /// Bytes that are written again and again; the rest is left alone.
    hot: u64,
    /// Bytes a second that are written, anywhere in the hot part.
    writes: f64,
    /// Bytes a second.
    link: f64,
}

impl World {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    fn dirty(&self, over: Duration, throttle: u8) -> u64 {
        let written = self.writes * f64::from(throttle) / 100.0 * over.as_secs_f64();
        let hot = (self.hot as f64).max(1.0);
        // Uniform writes to a set, with repetitions.
        ((hot * (1.0 - (-written / hot).exp())) as u64).div_ceil(4096)
    }

    #[allow(clippy::cast_precision_loss)]
    fn send(&self, pages: u64) -> Duration {
        Duration::from_millis(3) + Duration::from_secs_f64((pages * 4096) as f64 / self.link)
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Ended {
    next: Next,
    rounds: usize,
    throttles: Vec<u8>,
    estimate: Estimate,
    /// What the freeze then really takes.
    truth: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Wish {
    budget: Option<Duration>,
    auto_converge: bool,
    mode: Mode,
    time_left: Option<Duration>,
    ready_after: usize,
}

const WISH: Wish = Wish {
    budget: None,
    auto_converge: false,
    mode: Mode::Auto,
    time_left: None,
    ready_after: 0,
};

fn costs(memory: u64) -> Costs {
    Costs {
        fixed: Duration::from_millis(200),
        per_gib: Duration::from_millis(130),
        memory,
        assumed_bandwidth: 500_000_000,
    }
}

/// What lies between two rounds without a rest, as it is measured.
const BETWEEN: Duration = Duration::from_millis(3);

fn copy(world: World, wish: Wish) -> Ended {
    let mut history: Vec<Passed> = Vec::new();
    let mut throttle = None;
    let mut throttled_at = 0;
    let mut throttles = Vec::new();
    let mut passed = Duration::ZERO;
    let mut steps = 0;
    loop {
        steps += 1;
        assert!(steps <= MAX_ROUNDS + 10 + wish.ready_after, "it goes on for ever");
        let situation = Situation {
            history: &history,
            waiting: None,
            costs: costs(world.memory),
            budget: wish.budget,
            mode: wish.mode,
            auto_converge: wish.auto_converge,
            throttle,
            throttled_at,
            time_left: wish.time_left.map(|left| left.saturating_sub(passed)),
            may_freeze: history.len() >= wish.ready_after,
        };
        let (next, estimate) = decide(&situation);
        let took = history.last().map_or(Duration::ZERO, |last| last.took);
        let mut pause = BETWEEN;
        match next {
            Next::Round { pause: rest } => pause += rest,
            Next::Throttle { percent } => {
                assert!(wish.auto_converge && throttle.is_none_or(|now| percent < now));
                throttle = Some(percent);
                throttles.push(percent);
                throttled_at = history.len();
            }
            next => {
                let left = match history.len() {
                    0 => world.memory / 4096,
                    _ => world.dirty(took, throttle.unwrap_or(100)),
                };
                let gib = Duration::from_millis(130 * world.memory / (1 << 30));
                return Ended {
                    next,
                    rounds: history.len(),
                    throttles,
                    estimate,
                    truth: Duration::from_millis(200) + gib + world.send(left),
                };
            }
        }
        let pages = match history.len() {
            0 => world.memory / 4096,
            _ => world.dirty(took + pause, throttle.unwrap_or(100)),
        };
        let took = world.send(pages);
        passed += pause + took;
        history.push(Passed {
            pages,
            bytes: pages * 4096,
            pause,
            took,
        });
    }
}

fn idle() -> World {
    World {
        memory: 1024 * MIB,
        hot: 0,
        writes: 0.0,
        link: 500e6,
    }
}

fn budget(millis: u64) -> Wish {
    Wish {
        budget: Some(Duration::from_millis(millis)),
        ..WISH
    }
}

fn worlds() -> impl Strategy<Value = World> {
    (1..4096_u64, 0..4096_u64, 0.0..3e9, 7.0..9.7).prop_map(|(memory, hot, writes, link)| World {
        memory: memory * MIB,
        hot: hot.min(memory) * MIB,
        writes,
        link: 10_f64.powf(link),
    })
}

fn wishes() -> impl Strategy<Value = Wish> {
    let millis = |most| prop::option::of((0..most).prop_map(Duration::from_millis));
    (
        millis(3000_u64),
        any::<bool>(),
        any::<bool>(),
        millis(600_000),
        0..5_usize,
    )
        .prop_map(|(budget, auto_converge, auto, time_left, ready_after)| Wish {
            budget,
            auto_converge,
            mode: if auto { Mode::Auto } else { Mode::PreCopy },
            time_left,
            ready_after,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// It ends within its bounds; it refuses only with a budget, and freezes only within it.
    #[test]
    fn it_always_ends(world in worlds(), wish in wishes()) {
        let ended = copy(world, wish);
        prop_assert!(ended.rounds <= MAX_ROUNDS.max(wish.ready_after) + 1);
        prop_assert!(wish.mode == Mode::Auto || ended.rounds > 0);
        match (&ended.next, wish.budget) {
            (Next::Freeze, None) => {}
            (Next::Freeze, Some(budget)) => prop_assert!(ended.estimate.freeze <= budget),
            (Next::Refuse(why), Some(budget)) => {
                prop_assert_eq!(why.budget, budget);
                prop_assert!(why.estimate.freeze > budget);
            }
            (next, budget) => prop_assert!(false, "{:?} with {:?}", next, budget),
        }
    }

    #[test]
    fn more_budget_is_never_more_rounds(world in worlds(), wish in wishes(), one in 1..3000_u64, other in 1..3000_u64) {
        let with = |millis| copy(world, Wish { budget: Some(Duration::from_millis(millis)), ..wish });
        let (small, large) = (with(one.min(other)), with(one.max(other)));
        prop_assert!(large.rounds <= small.rounds);
        prop_assert!(large.throttles.len() <= small.throttles.len());
        prop_assert!(small.next != Next::Freeze || large.next == Next::Freeze, "what fits less fits more");
    }

    /// In any second no more than the cap, and one piece.
    #[test]
    fn the_cap_holds(
        cap in 1_000_000..200_000_000_u64,
        pieces in prop::collection::vec((1..262_144_u64, 0..40_u64), 1..400),
    ) {
        let mut pace = Pace::new(cap);
        let mut now = Duration::ZERO;
        let mut sent: Vec<(Duration, u64)> = Vec::new();
        for (bytes, busy) in pieces {
            now += pace.book(now, bytes);
            sent.push((now, bytes));
            now += Duration::from_millis(busy);
        }
        let largest = sent.iter().map(|(_, bytes)| *bytes).max().unwrap();
        for (at, (from, _)) in sent.iter().enumerate() {
            let second = sent[at..].iter().take_while(|(time, _)| *time < *from + Duration::from_secs(1));
            let bytes: u64 = second.map(|(_, bytes)| bytes).sum();
            prop_assert!(bytes <= cap + largest, "{} in a second of {}", bytes, cap);
        }
    }
}

#[test]
fn a_quiet_container_needs_two_rounds() {
    for wish in [WISH, budget(400)] {
        let ended = copy(idle(), wish);
        assert_eq!((ended.next, ended.rounds), (Next::Freeze, 2));
    }
}

#[test]
fn a_busy_one_converges_while_the_link_is_faster() {
    let world = World {
        hot: 1024 * MIB,
        writes: 50e6,
        ..idle()
    };
    for wish in [WISH, budget(350)] {
        let ended = copy(world, wish);
        assert_eq!(ended.next, Next::Freeze);
        assert!(ended.rounds <= 5, "{ended:?}");
        assert!(ended.truth <= Duration::from_millis(350), "{ended:?}");
    }
}

/// A set that is written all of within milliseconds is as large in a short round as in a long one.
#[test]
fn a_hot_set_is_not_taken_for_a_slow_writer() {
    let world = World {
        hot: 200 * MIB,
        writes: 2e9,
        ..idle()
    };
    let ended = copy(world, budget(500));
    assert!(matches!(ended.next, Next::Refuse(_)), "{ended:?}");
    let ended = copy(world, budget(900));
    assert_eq!(ended.next, Next::Freeze);
    assert!(ended.truth <= Duration::from_millis(900), "{ended:?}");
}

#[test]
fn what_writes_too_fast_is_refused_with_figures() {
    let world = World {
        hot: 1024 * MIB,
        writes: 2e9,
        link: 100e6,
        ..idle()
    };
    let ended = copy(world, budget(500));
    let Next::Refuse(why) = ended.next else {
        panic!("{ended:?}");
    };
    assert_eq!(why.reason(), "DirtyRateTooHigh");
    let text = why.to_string();
    for figure in [
        "MB/s of memory",
        "100.",
        "after 3 rounds",
        "500 ms",
        "spec.freezeBudget",
    ] {
        assert!(text.contains(figure), "{figure:?} is not in {text:?}");
    }
    assert_eq!(
        copy(world, WISH).next,
        Next::Freeze,
        "without a budget it freezes"
    );
}

#[test]
fn throttling_comes_step_by_step_and_only_if_allowed() {
    let world = World {
        hot: 1024 * MIB,
        writes: 300e6,
        link: 150e6,
        ..idle()
    };
    assert!(matches!(copy(world, budget(600)).next, Next::Refuse(_)));
    let ended = copy(
        world,
        Wish {
            auto_converge: true,
            ..budget(600)
        },
    );
    assert_eq!(ended.next, Next::Freeze, "{ended:?}");
    assert!(ended.throttles.starts_with(&[80, 60]), "{ended:?}");
    let without = copy(
        world,
        Wish {
            auto_converge: true,
            ..WISH
        },
    );
    assert!(
        without.throttles.is_empty(),
        "nothing to reach, nothing to throttle for"
    );
}

#[test]
fn up_and_down_is_not_getting_anywhere() {
    let mut history = vec![Passed {
        pages: 98_304,
        bytes: 98_304 * 4096,
        pause: Duration::ZERO,
        took: Duration::from_secs(1),
    }];
    for pages in [60_000, 85_000, 58_000, 80_000] {
        history.push(Passed { pages, ..history[0] });
    }
    let (next, _) = decide(&Situation {
        history: &history,
        waiting: None,
        costs: costs(98_304 * 4096),
        budget: Some(Duration::from_millis(600)),
        mode: Mode::PreCopy,
        auto_converge: true,
        throttle: None,
        throttled_at: 0,
        time_left: None,
        may_freeze: true,
    });
    assert_eq!(next, Next::Throttle { percent: 80 });
}

#[test]
fn time_that_runs_out_ends_the_rounds() {
    let world = World {
        hot: 1024 * MIB,
        writes: 90e6,
        link: 100e6,
        ..idle()
    };
    let hurried = Wish {
        time_left: Some(Duration::from_secs(25)),
        ..WISH
    };
    let (hurried, calm) = (copy(world, hurried), copy(world, WISH));
    assert_eq!(hurried.next, Next::Freeze);
    assert!(hurried.rounds < calm.rounds, "{} {}", hurried.rounds, calm.rounds);
}

#[test]
fn waiting_rounds_rest() {
    let history = [
        Passed {
            pages: 262_144,
            bytes: 1 << 30,
            took: Duration::from_secs(2),
            ..Passed::default()
        },
        Passed {
            pages: 10,
            bytes: 40_960,
            took: Duration::from_millis(3),
            ..Passed::default()
        },
    ];
    let mut situation = Situation {
        history: &history,
        waiting: None,
        costs: costs(1 << 30),
        budget: None,
        mode: Mode::Auto,
        auto_converge: false,
        throttle: None,
        throttled_at: 0,
        time_left: None,
        may_freeze: false,
    };
    let (Next::Round { pause }, _) = decide(&situation) else {
        panic!("it must wait");
    };
    assert!(pause >= Duration::from_millis(500));
    situation.may_freeze = true;
    assert_eq!(decide(&situation).0, Next::Freeze);
    // A look at the pages says more than any guess.
    situation.waiting = Some(200_000);
    assert!(matches!(decide(&situation).0, Next::Round { .. }));
}

#[test]
fn memory_too_small_for_a_round_is_frozen_at_once() {
    let tiny = World {
        memory: 2 * MIB,
        ..idle()
    };
    assert_eq!(copy(tiny, WISH).rounds, 0);
    let asked = Wish {
        mode: Mode::PreCopy,
        ..WISH
    };
    assert!(copy(tiny, asked).rounds > 0);
}

#[test]
fn nothing_is_saved_up_while_nothing_is_sent() {
    let mut pace = Pace::new(1000);
    assert_eq!(pace.book(Duration::from_secs(100), 500), Duration::ZERO);
    assert_eq!(
        pace.book(Duration::from_secs(100), 500),
        Duration::from_millis(500)
    );
    pace.set_cap(0);
    assert_eq!(pace.book(Duration::from_secs(101), 2), Duration::ZERO);
    assert_eq!(pace.book(Duration::from_secs(101), 1), Duration::from_secs(2));
    assert!(Pace::new(1).book(Duration::MAX, u64::MAX) == Duration::ZERO);
}
