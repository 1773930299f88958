//! A target's network namespace says nothing until the pod is let go, and then everything at once.
//!
//! From the first restored socket on nobody may hear the pod: neither a probe from a container to one that is not restored yet, nor the end
//! of its connections if the migration fails and the pod is killed.
//!
//! A rule that drops packets would have to be taken away in the freeze, and for each change of rules the kernel waits until all processors
//! have seen it: some 30 ms. So the rule sends them to a queue that nobody owns, which drops them too. Binding that queue takes a
//! fraction of a millisecond; from then on its owner passes on every packet, until the rule has been taken away behind its back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::hold::{GLANCE, SETTLED};
use crate::nft::{self, Chain, Hook, Rule, Unowned};
use crate::queue::{Fate, Queue};
use crate::{Error, Netns};

const TABLE: &str = "godwit-mute";
const OUTPUT: &str = "output";
/// Not one of the hold's: a pod that is moved again at once may have both.
const QUEUE: u16 = 7133;

/// Makes a namespace mute, the loopback too. Idempotent; ended by [`Voice`], or with the namespace. Fails with [`Error::NoQueue`] where
/// the kernel has no packet queue.
pub async fn mute(netns: &Netns) -> Result<(), Error> {
    netns
        .run("muting the pod's network", || {
            nft::replace_queueing(TABLE, |queue| {
                vec![Chain {
                    name: OUTPUT,
                    hook: Hook::Output,
                    rules: vec![queue(Rule::default(), QUEUE, Unowned::Vanish)],
                }]
            })
        })
        .await
}

/// What a mute namespace will speak with.
pub struct Voice {
    netns: Netns,
    queue: Queue,
}

impl Voice {
    /// Opens the queue's socket in the namespace; it stays mute. To be done before the freeze ends.
    pub async fn prepare(netns: Netns) -> Result<Self, Error> {
        let queue = netns
            .run("preparing to end a pod's silence", || Queue::open(QUEUE))
            .await?;
        Ok(Self { netns, queue })
    }

    /// From now on every packet passes; one system call. [`Speaking::settle`] must follow: the death of this process would make the namespace mute again.
    pub fn begin(self) -> Result<Speaking, Error> {
        let Self { netns, queue } = self;
        queue.bind(Fate::Wait)?;
        let (queue, over) = (Arc::new(queue), Arc::new(AtomicBool::new(false)));
        let passing = std::thread::Builder::new()
            .name("voice".into())
            .spawn({
                let (queue, over) = (Arc::clone(&queue), Arc::clone(&over));
                move || pass_on(&queue, &over)
            })
            .map_err(|source| Error::kernel("starting a thread", source))?;
        Ok(Speaking {
            netns,
            queue,
            over,
            passing: Some(passing),
        })
    }
}

/// A namespace that speaks through its queue. To drop this without [`Speaking::settle`] makes it mute again.
pub struct Speaking {
    netns: Netns,
    queue: Arc<Queue>,
    over: Arc<AtomicBool>,
    passing: Option<JoinHandle<()>>,
}

impl Speaking {
    /// Takes the rule away, then the queue. No packet is lost: the chain stays hooked in until the queue is empty, as unhooking it
    /// drops what is queued. After an error packets go on passing through the queue for as long as this process lives.
    pub async fn settle(mut self) -> Result<(), Error> {
        if let Err(error) = self.remove_rule().await {
            // Its drop would end the thread that passes packets on.
            std::mem::forget(self);
            return Err(error);
        }
        self.over.store(true, Ordering::SeqCst);
        if let Some(passing) = self.passing.take() {
            // It ends within one glance; waiting for it must not block the runtime.
            drop(tokio::task::spawn_blocking(move || passing.join()).await);
        }
        Ok(())
    }

    async fn remove_rule(&self) -> Result<(), Error> {
        self.netns
            .run("ending a pod's silence", || {
                nft::replace_rules(TABLE, OUTPUT, &[])
            })
            .await?;
        tokio::time::sleep(SETTLED).await;
        self.queue.accept_all()?;
        self.netns
            .run("ending a pod's silence", || nft::remove(TABLE))
            .await
    }
}

impl Drop for Speaking {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

fn pass_on(queue: &Queue, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        let passed = queue
            .heard(GLANCE)
            .and_then(|heard| if heard { queue.accept_all() } else { Ok(()) });
        if let Err(error) = passed {
            tracing::warn!(%error, "packets of a pod that was let go cannot be passed on; its peers will ask for them again");
            return;
        }
    }
}
