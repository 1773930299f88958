//! Lanes: connections of the source that carry memory while the pod runs.
//!
//! A lane that calls again takes the place of the one of its number, which has ended before the new one is let in: what the source sends
//! then is newer than anything that came before.

use std::{collections::HashSet, sync::Arc};

use godwit_transfer::MAX_LANES;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{lane, pages::PagesError, stores::Stores};
use crate::{
    failure::chain,
    peer::{Caller, refusal::LANE_OUT_OF_BOUNDS},
};

/// The lanes of one migration.
pub(crate) struct Lanes {
    stores: Arc<Stores>,
    /// Containers whose memory comes apart from their images.
    containers: Arc<HashSet<String>>,
    slots: Vec<Option<Slot>>,
    all: CancellationToken,
    /// Whatever becomes of the attempt, its lanes end with it.
    _end: DropGuard,
}

/// Who has a number.
struct Slot {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Lanes {
    /// Lanes that may bring memory of these containers.
    pub(crate) fn new(stores: Arc<Stores>, containers: HashSet<String>) -> Self {
        let all = CancellationToken::new();
        Self {
            stores,
            containers: Arc::new(containers),
            slots: (0..MAX_LANES).map(|_| None).collect(),
            _end: all.clone().drop_guard(),
            all,
        }
    }

    /// Lets lanes in, until `frozen` is over; then none has any business here, and who calls is refused. Returns only if pages that came
    /// cannot be kept.
    pub(crate) async fn serve(
        mut self,
        callers: &mut mpsc::Receiver<Caller>,
        frozen: impl Future<Output = ()>,
    ) -> PagesError {
        let (tell, mut failures) = mpsc::channel(1);
        let mut refusals = JoinSet::new();
        tokio::pin!(frozen);
        let mut open = true;
        loop {
            tokio::select! {
                Some(error) = failures.recv() => return error,
                Some(caller) = callers.recv() => {
                    if let Some((caller, reason, message)) = self.let_in(caller, open, &tell) {
                        refusals.spawn(async move { drop(caller.refuse(reason, message).await) });
                    }
                }
                () = &mut frozen, if open => {
                    open = false;
                    self.all.cancel();
                }
                // Only so that they do not pile up.
                Some(_) = refusals.join_next() => {}
            }
        }
    }

    /// Gives back whom it does not let in, and why.
    fn let_in(
        &mut self,
        caller: Caller,
        open: bool,
        tell: &mpsc::Sender<PagesError>,
    ) -> Option<(Caller, &'static str, &'static str)> {
        if !open {
            return Some((
                caller,
                "LanesClosed",
                "the pod is frozen: no lane carries memory any more",
            ));
        }
        let number = usize::try_from(caller.hello().lane).unwrap_or(usize::MAX);
        let Some(slot) = self.slots.get_mut(number) else {
            return Some((
                caller,
                LANE_OUT_OF_BOUNDS,
                "a migration has no lane of that number",
            ));
        };
        let before = slot.take();
        let stop = self.all.child_token();
        let (stores, containers) = (Arc::clone(&self.stores), Arc::clone(&self.containers));
        let (stopped, tell) = (stop.clone(), tell.clone());
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                before.stop.cancel();
                // It ends by itself: what it had is kept by then, or never will be.
                let _ = before.task.await;
            }
            if let Err(error) = lane::run(caller, stores, containers, stopped).await {
                tracing::warn!(
                    number,
                    error = chain(&error),
                    "what a lane brought cannot be kept"
                );
                // One reason is enough.
                let _ = tell.try_send(error);
            }
        });
        *slot = Some(Slot { stop, task });
        None
    }
}
