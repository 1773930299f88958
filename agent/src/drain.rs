//! Ending in order: no new migration starts, those that run finish.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Handle to the agent's end; cheap to clone, all clones are one.
#[derive(Debug, Clone)]
pub struct Drain {
    state: Arc<watch::Sender<State>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    draining: bool,
    running: usize,
}

/// A migration that the agent's end waits for, as long as it is held.
#[derive(Debug)]
pub struct Running {
    state: Arc<watch::Sender<State>>,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            state: Arc::new(watch::Sender::new(State::default())),
        }
    }
}

impl Drain {
    /// A handle on which nothing runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a migration; `None` once the end has begun: it must not start then.
    pub fn begin(&self) -> Option<Running> {
        let begun = self.state.send_if_modified(|state| {
            state.running += usize::from(!state.draining);
            !state.draining
        });
        begun.then(|| Running {
            state: Arc::clone(&self.state),
        })
    }

    /// Registers a migration that was under way before (taken up from the journal): it is always let finish.
    pub fn resume(&self) -> Running {
        self.state.send_modify(|state| state.running += 1);
        Running {
            state: Arc::clone(&self.state),
        }
    }

    /// Waits until nothing runs.
    pub async fn idle(&self) {
        // The sender lives in `self`: it cannot be gone.
        let _ = self.state.subscribe().wait_for(|state| state.running == 0).await;
    }

    /// True once the end has begun.
    pub fn draining(&self) -> bool {
        self.state.borrow().draining
    }

    /// Waits for the end to begin.
    pub async fn started(&self) {
        // The sender lives in `self`: it cannot be gone.
        let _ = self.state.subscribe().wait_for(|state| state.draining).await;
    }

    /// Begins the end and waits until nothing runs any more. `Err`: how many still ran when `limit` was over.
    pub async fn finish(&self, limit: Duration) -> Result<(), usize> {
        self.state.send_modify(|state| state.draining = true);
        let mut states = self.state.subscribe();
        match tokio::time::timeout(limit, states.wait_for(|state| state.running == 0)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.state.borrow().running),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.state.send_modify(|state| state.running -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_waits_for_what_runs_and_lets_nothing_new_begin() {
        let drain = Drain::new();
        let running = drain.begin().unwrap();
        assert_eq!(drain.finish(Duration::from_millis(10)).await, Err(1));
        assert!(drain.draining());
        assert!(drain.begin().is_none());
        let resumed = drain.resume();
        let waiting = tokio::spawn({
            let drain = drain.clone();
            async move { drain.finish(Duration::from_secs(30)).await }
        });
        let idle = tokio::time::timeout(Duration::from_millis(10), drain.idle()).await;
        assert!(idle.is_err());
        drop(running);
        drop(resumed);
        drain.idle().await;
        assert_eq!(waiting.await.unwrap(), Ok(()));
        drain.started().await;
    }
}
