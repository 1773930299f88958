//! Work that must not be left half-done when nobody waits for it any more.
//!
//! A step of a migration is dropped where it stands when the migration is called off. What it had begun on another thread (a visit to a network
//! namespace, say) goes on all the same, and would be done after the undo has looked for it.

use std::{panic::resume_unwind, sync::Arc};

use tokio::sync::Mutex;

/// One piece of such work at a time. Clones share the turn.
#[derive(Clone, Debug, Default)]
pub struct Undisturbed(Arc<Mutex<()>>);

impl Undisturbed {
    /// Does `work` to its end once it has begun, also if what is given is dropped; until then nothing else begins, and [`Self::settled`] waits.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let turn = self.0.clone().lock_owned().await;
        let working = tokio::spawn(async move {
            let done = work.await;
            drop(turn);
            done
        });
        match working.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // Nobody aborts it: the runtime itself ends, and this with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Waits until nothing is left that had begun before.
    pub async fn settled(&self) {
        drop(self.0.lock().await);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        time::Duration,
    };

    use tokio::{sync::Notify, time::timeout};

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn what_has_begun_is_done_though_nobody_waits_for_it() {
        let (undisturbed, go, done) = (
            Undisturbed::default(),
            Arc::new(Notify::new()),
            Arc::new(AtomicBool::new(false)),
        );
        let (goes, marks) = (go.clone(), done.clone());
        let work = undisturbed.run(async move {
            goes.notified().await;
            marks.store(true, Ordering::SeqCst);
        });
        assert!(timeout(SHORT, work).await.is_err());
        assert!(timeout(SHORT, undisturbed.settled()).await.is_err());
        assert!(!done.load(Ordering::SeqCst));
        go.notify_one();
        undisturbed.settled().await;
        assert!(done.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn what_waits_for_its_turn_has_not_begun() {
        let undisturbed = Undisturbed::default();
        let first = undisturbed.0.lock().await;
        let begun = Arc::new(AtomicBool::new(false));
        let marks = begun.clone();
        let work = undisturbed.run(async move { marks.store(true, Ordering::SeqCst) });
        assert!(timeout(SHORT, work).await.is_err());
        drop(first);
        undisturbed.settled().await;
        assert!(!begun.load(Ordering::SeqCst));
    }
}
