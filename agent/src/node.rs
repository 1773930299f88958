//! What every migration of this agent shares: the node, and how to reach it.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use godwit_container::{call::Launcher, cri::Cri, host::Host};
use godwit_crds::TrackingMethod;
use godwit_memory::{rounds::Pace, track::Method};
use godwit_runtime::layout::Layout;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    carry::CarryKeeper, host_files::HostFileCache, identity::Identity, journal::JournalDir,
    preflight::EngineVersion,
};

/// One node with its agent.
pub struct Node {
    /// Name of the node.
    pub name: String,
    /// The node's namespaces and files.
    pub host: Host,
    /// Godwit's files as the agent sees them.
    pub layout: Layout,
    /// The same as programs on the node see them.
    pub layout_on_node: Layout,
    /// The container runtime.
    pub cri: Cri,
    /// Where programs of the node are looked for.
    pub search_path: String,
    /// How runtime calls are started.
    pub launcher: Launcher,
    /// The API server.
    pub client: kube::Client,
    /// What must outlive this process.
    pub journals: JournalDir,
    /// Who we are to other agents.
    pub identity: Arc<Identity>,
    /// Port on which agents listen.
    pub port: u16,
    /// Carried addresses.
    pub carry: Arc<CarryKeeper>,
    /// What all migrations together send at most while their pods run, timed from `started`.
    pub bandwidth: Option<Arc<Mutex<Pace>>>,
    /// When this process started.
    pub started: Instant,
    /// What a freeze costs here beside memory.
    pub freeze_cost: FreezeCost,
    /// How fast memory has left here.
    pub copy_rate: CopyRate,
    /// Which CRIU runs here.
    pub engine: EngineVersion,
    /// What was read of the node's files that pods use.
    pub host_files: HostFileCache,
}

/// What a freeze costs beside memory: as the last one was, or a guess before the first.
#[derive(Debug)]
pub struct FreezeCost(Mutex<Duration>);

/// Of a small pod on slow processors; see docs/benchmark.md.
const FIRST_GUESS: Duration = Duration::from_millis(300);

impl Default for FreezeCost {
    fn default() -> Self {
        Self(Mutex::new(FIRST_GUESS))
    }
}

impl FreezeCost {
    /// The cost.
    pub fn get(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A freeze took so long beside memory; half of what was known before is believed still.
    pub fn learn(&self, fixed: Duration) {
        let mut cost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *cost = (*cost + fixed) / 2;
    }
}

/// How many bytes of memory a second have left this node while their pods ran: as in the last migrations, and nothing before the first.
#[derive(Debug, Default)]
pub struct CopyRate(Mutex<Option<u64>>);

/// Less than this tells nothing of a link.
const TELLING: u64 = 16 << 20;

impl CopyRate {
    /// Bytes a second.
    pub fn get(&self) -> Option<u64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many bytes took so long; half of what was known before is believed still.
    pub fn learn(&self, bytes: u64, took: Duration) {
        let Ok(micros @ 1..) = u64::try_from(took.as_micros()) else {
            return;
        };
        if bytes < TELLING {
            return;
        }
        let rate = bytes.saturating_mul(1_000_000) / micros;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(known.map_or(rate, |known| known.midpoint(rate)));
    }
}

/// A method as the API calls it.
pub fn tracking_method(method: Method) -> TrackingMethod {
    match method {
        Method::WriteProtect => TrackingMethod::WriteProtect,
        Method::SoftDirty => TrackingMethod::SoftDirty,
        Method::None => TrackingMethod::None,
    }
}

impl Node {
    /// A path of the node as the agent sees it.
    pub fn seen(&self, on_node: &std::path::Path) -> PathBuf {
        self.host.path(on_node)
    }
}

/// A deadline given as wall-clock time, on this process's own clock; a past one is now.
pub fn instant_of(deadline: Timestamp) -> Instant {
    let left = deadline.duration_since(Timestamp::now());
    Instant::now() + Duration::try_from(left).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_learnt_from_enough_bytes_and_half_of_the_old_one_stays() {
        let rate = CopyRate::default();
        rate.learn(TELLING - 1, Duration::from_secs(1));
        rate.learn(TELLING, Duration::ZERO);
        assert_eq!(rate.get(), None);
        rate.learn(TELLING, Duration::from_secs(1));
        assert_eq!(rate.get(), Some(TELLING));
        rate.learn(3 * TELLING, Duration::from_secs(1));
        assert_eq!(rate.get(), Some(2 * TELLING));
    }
}
