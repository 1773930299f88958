//! Packets of a pod are held while it is frozen: what comes in waits, what goes out vanishes.
//!
//! Dropping input instead would cost the clients a retransmission timeout; letting output pass would let the kernel of
//! a frozen process retransmit with timestamps newer than those of the restored one. The rules bypass a queue that nobody
//! owns, so that a dead agent cannot cut off a pod: only [`ActiveHold::persist_output_drop`] outlives the agent.
//!
//! Output is silenced on the loopback too: containers of a pod are dumped and restored one after the other, and a socket whose peer on `lo`
//! is not there yet must not ask for it, or the kernel would answer with a reset.
//!
//! One nftables table in the pod's namespace holds it all. Its chains stay hooked in until nothing is queued any more,
//! because unhooking any chain makes the kernel drop everything queued in the namespace.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::backlog::Backlog;
use crate::nft::{self, Chain, Hook, Rule, ToQueue, Unowned};
use crate::queue::{Fate, Queue};
use crate::{Error, Netns};

const TABLE: &str = "godwit-hold";
const INPUT: &str = "input";
const OUTPUT: &str = "output";
const LOOPBACK: u32 = 1;

const HOLDING: u8 = 0;
const PASSING: u8 = 1;
const ENDING: u8 = 2;
/// How long the receiving thread sleeps at most before it looks whether it is to end.
pub(crate) const GLANCE: Duration = Duration::from_millis(20);
/// A packet that was inside the rule when it was removed has reached the queue after this time.
pub(crate) const SETTLED: Duration = Duration::from_millis(5);

/// The two queue numbers that a hold uses in the pod's namespace; they must not be used by the pod itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueNumbers {
    /// For what comes in.
    pub input: u16,
    /// For what goes out.
    pub output: u16,
    /// For what opens a connection.
    pub opening: u16,
}

impl Default for QueueNumbers {
    fn default() -> Self {
        Self {
            input: 7131,
            output: 7132,
            opening: 7133,
        }
    }
}

/// Entry point of a hold.
#[derive(Debug)]
pub struct Hold;

impl Hold {
    /// Installs the rules in the pod's namespace, without effect yet, and opens the queue sockets there. To be done
    /// before the freeze. Idempotent; undone by [`PreparedHold::cancel`] or [`remove_all`].
    /// Fails with [`Error::NoQueue`] where the kernel has no packet queue at all.
    pub async fn prepare(netns: Netns, numbers: QueueNumbers) -> Result<PreparedHold, Error> {
        let (input, output, opening) = netns
            .run("preparing to hold packets", move || {
                nft::replace_queueing(TABLE, |queue| chains(numbers, queue))?;
                let open = Queue::open;
                Ok((
                    open(numbers.input)?,
                    open(numbers.output)?,
                    open(numbers.opening)?,
                ))
            })
            .await?;
        Ok(PreparedHold {
            netns,
            input,
            output,
            door: Door::open(opening),
        })
    }
}

fn chains(numbers: QueueNumbers, queue: ToQueue) -> Vec<Chain> {
    // The neighbours must not forget the pod during a long freeze; ARP does not pass here, its IPv6 sibling does.
    let neighbours = || Rule::default().neighbour_discovery().accept();
    vec![
        Chain {
            name: INPUT,
            hook: Hook::Prerouting,
            rules: vec![
                neighbours(),
                queue(
                    Rule::default().input_is_not(LOOPBACK).opens_a_connection(),
                    numbers.opening,
                    Unowned::Pass,
                ),
                queue(
                    Rule::default().input_is_not(LOOPBACK),
                    numbers.input,
                    Unowned::Pass,
                ),
            ],
        },
        Chain {
            name: OUTPUT,
            hook: Hook::Output,
            rules: vec![
                neighbours(),
                queue(Rule::default(), numbers.output, Unowned::Pass),
            ],
        },
    ]
}

/// Rules are in place, packets pass.
pub struct PreparedHold {
    netns: Netns,
    input: Queue,
    output: Queue,
    door: Door,
}

impl PreparedHold {
    /// From now on no new connection comes in: what opens one waits. The pod runs on, and can accept what has come before. One system call.
    pub fn shut(&mut self) -> Result<(), Error> {
        self.door.shut()
    }

    /// The connections of the pod that nobody has accepted. While the door is [shut](Self::shut) only the pod's own make more.
    pub fn backlog(&self) -> Backlog {
        Backlog::of(self.netns.clone())
    }

    /// Starts holding; takes a fraction of a millisecond. To be called once the pod's processes are frozen: a reply
    /// written afterwards would be dumped as sent and yet never arrive.
    /// After an error packets pass again.
    pub fn activate(self) -> Result<ActiveHold, Error> {
        let Self {
            netns,
            input,
            output,
            door,
        } = self;
        input.bind(Fate::Wait)?;
        output.bind(Fate::Vanish)?;
        let input = Arc::new(input);
        let stage = Arc::new(AtomicU8::new(HOLDING));
        let receiver = std::thread::Builder::new()
            .name("hold".into())
            .spawn({
                let (input, stage) = (Arc::clone(&input), Arc::clone(&stage));
                move || receive(&input, &stage)
            })
            .map_err(|source| Error::kernel("starting a thread", source))?;
        Ok(ActiveHold {
            netns,
            input,
            output,
            door,
            stage,
            silenced: AtomicBool::new(false),
            receiver: Some(receiver),
        })
    }

    /// Removes the rules again.
    pub async fn cancel(self) -> Result<(), Error> {
        remove_all(&self.netns).await
    }
}

/// Input waits, output vanishes. Dropping this is what the agent's death is: waiting packets are lost (TCP sends them
/// again) and the pod is reachable again, unless its output was silenced for good.
pub struct ActiveHold {
    netns: Netns,
    input: Arc<Queue>,
    output: Queue,
    door: Door,
    stage: Arc<AtomicU8>,
    silenced: AtomicBool,
    receiver: Option<JoinHandle<()>>,
}

impl ActiveHold {
    /// Drops all output by a rule that stays when the agent dies. To be done before the commit, which it must not
    /// follow; it may run beside the dump. Idempotent; [`ActiveHold::rollback`] undoes it.
    pub async fn persist_output_drop(&self) -> Result<(), Error> {
        // nftables waits for all processors when it changes rules: tens of milliseconds, once is enough.
        if !self.silenced.load(Ordering::SeqCst) {
            self.netns.run("silencing the pod's network", drop_output).await?;
            self.silenced.store(true, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Lets held packets go on: by now the namespace forwards them. Output stays silenced for ever; the queue is
    /// given up. Quick if [`ActiveHold::persist_output_drop`] was called before. Fails without having released anything if the rule for that cannot be installed.
    pub async fn release_forward(self) -> Result<(), Error> {
        self.persist_output_drop().await?;
        self.pass()?;
        self.settle().await
    }

    /// The pod goes on here: output is allowed again, then held packets are delivered, then everything is removed.
    pub async fn rollback(self) -> Result<(), Error> {
        let netns = self.netns.clone();
        netns
            .run("allowing the pod's output", || {
                nft::replace_rules(TABLE, OUTPUT, &[])
            })
            .await?;
        self.pass()?;
        self.settle().await?;
        remove_all(&netns).await
    }

    fn pass(&self) -> Result<(), Error> {
        self.stage.store(PASSING, Ordering::SeqCst);
        self.door.pass()?;
        self.input.accept_all()
    }

    /// Takes the queueing rule away, and gives the queue up when nothing can be in it any more.
    async fn settle(mut self) -> Result<(), Error> {
        let removed = self
            .netns
            .run("ending the hold", || nft::replace_rules(TABLE, INPUT, &[]))
            .await;
        tokio::time::sleep(SETTLED).await;
        self.input.accept_all()?;
        self.door.pass()?;
        self.stage.store(ENDING, Ordering::SeqCst);
        if let Some(receiver) = self.receiver.take() {
            // It ends within one glance; waiting for it must not block the runtime.
            drop(tokio::task::spawn_blocking(move || receiver.join()).await);
        }
        removed
    }
}

impl Drop for ActiveHold {
    fn drop(&mut self) {
        // The receiving thread holds the other reference to the input socket: it closes within one glance.
        self.stage.store(ENDING, Ordering::SeqCst);
        let _ = &self.output;
    }
}

/// Where new connections come in. Dropped, it lets pass what waits.
struct Door {
    queue: Arc<Queue>,
    stage: Arc<AtomicU8>,
    is_shut: bool,
}

impl Door {
    fn open(queue: Queue) -> Self {
        Self {
            queue: Arc::new(queue),
            stage: Arc::new(AtomicU8::new(HOLDING)),
            is_shut: false,
        }
    }

    /// Idempotent.
    fn shut(&mut self) -> Result<(), Error> {
        if self.is_shut {
            return Ok(());
        }
        self.queue.bind(Fate::Wait)?;
        let (queue, stage) = (Arc::clone(&self.queue), Arc::clone(&self.stage));
        std::thread::Builder::new()
            .name("door".into())
            .spawn(move || receive(&queue, &stage))
            .map_err(|source| Error::kernel("starting a thread", source))?;
        self.is_shut = true;
        Ok(())
    }

    fn pass(&self) -> Result<(), Error> {
        if self.is_shut {
            self.stage.store(PASSING, Ordering::SeqCst);
            self.queue.accept_all()?;
        }
        Ok(())
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Err(error) = self.pass() {
            tracing::warn!(%error, "new connections that were held have to be opened again");
        }
        // Its thread holds the other reference to the socket, which closes within one glance.
        self.stage.store(ENDING, Ordering::SeqCst);
    }
}

fn drop_output() -> Result<(), Error> {
    nft::replace_rules(TABLE, OUTPUT, &[Rule::default().drop_packet()])
}

/// Keeps the socket's buffer empty; after the release lets late packets go on, too.
fn receive(queue: &Queue, stage: &AtomicU8) {
    loop {
        let heard = queue.heard(GLANCE);
        match (stage.load(Ordering::SeqCst), heard) {
            (ENDING, _) => return,
            (_, Err(error)) => {
                tracing::warn!(%error, "a packet queue cannot be read; held packets will be lost");
                return;
            }
            (PASSING, Ok(true)) => {
                if let Err(error) = queue.accept_all() {
                    tracing::warn!(%error, "a late packet cannot be released");
                }
            }
            _ => {}
        }
    }
}

/// Removes whatever a hold left in a namespace, also after a crash, by name. Packets that are still queued are lost.
/// Idempotent.
pub async fn remove_all(netns: &Netns) -> Result<(), Error> {
    netns.run("removing the hold", || nft::remove(TABLE)).await
}

/// Drops all output of a namespace, until [`remove_all`]: that of a source whose agent was restarted after the commit.
pub async fn silence(netns: &Netns) -> Result<(), Error> {
    netns
        .run("silencing the pod's network", || {
            let chain = Chain {
                name: INPUT,
                hook: Hook::Prerouting,
                rules: Vec::new(),
            };
            let output = Chain {
                name: OUTPUT,
                hook: Hook::Output,
                rules: vec![Rule::default().drop_packet()],
            };
            nft::replace(TABLE, &[chain, output])
        })
        .await
}
