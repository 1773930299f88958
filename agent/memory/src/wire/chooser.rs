//! Which compression is the fastest here and now.

use std::time::Duration;

use super::encode::{Batch, Encoder};
use super::format::Codec;

/// Batches after which the others are tried again, if they cost as much as the best; a codec that costs `n` times as
/// much is tried `n` times as rarely, so that trying costs some 6 % at most.
const TRY_AGAIN: f64 = 32.0;
/// Bytes over which the link's speed is remembered: a thousand round trips of a rack, a second of a slow line.
const LINK_MEMORY: f64 = 16e6;
/// How much the newest batch counts: data changes from one mapping to the next.
const NEWEST: f64 = 0.25;
/// Smaller batches (the end of a round, zeros only) say nothing of speed.
const TELLING: usize = 32 << 10;
/// What CPU time costs beyond the time for which it holds up the link: ties go to the cheaper codec, since the
/// application needs the CPU too.
const CPU_PRICE: f64 = 0.1;
/// Taken for the link before anything is known of it: seconds for each byte at 1 GB/s.
const UNKNOWN_LINK: f64 = 1e-9;

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Seconds of CPU for each byte before compression; `None` before the first.
    cpu: Option<f64>,
    /// Bytes after for each byte before.
    ratio: f64,
    /// Batches since.
    ago: u32,
}

/// Chooses a [`Codec`] for each batch.
///
/// Pure: it is told what gathering (reading, hashing), compressing and sending took. The first two are one thread's work,
/// side by side with the third: so a byte costs whatever of the two takes longer.
#[derive(Debug, Clone, Default)]
pub struct Chooser {
    seen: [Seen; 3],
    /// Seconds of CPU for each byte before compression, but for compressing.
    gather: Option<f64>,
    /// Processor time at the end of the last [`Chooser::take`].
    taken: Option<Duration>,
    link_bytes: f64,
    link_seconds: f64,
}

impl Chooser {
    /// One that knows nothing: it tries each codec first.
    pub fn new() -> Self {
        Self::default()
    }

    /// What to do with the next batch. With `frozen` nothing is tried, and CPU time counts in full, since the dump of the
    /// container needs it at the same time: zstd is chosen on slow links only.
    pub fn choose(&mut self, frozen: bool) -> Codec {
        if frozen {
            return self.best(1.0);
        }
        for seen in &mut self.seen {
            seen.ago = seen.ago.saturating_add(1);
        }
        if let Some(new) = Codec::ALL.into_iter().find(|codec| self.of(*codec).cpu.is_none()) {
            return new;
        }
        let best = self.best(CPU_PRICE);
        let least = self.cost(best, CPU_PRICE).max(f64::MIN_POSITIVE);
        let due = |codec: &Codec| {
            let dearer = (self.cost(*codec, CPU_PRICE) / least).max(1.0);
            *codec != best && f64::from(self.of(*codec).ago) >= TRY_AGAIN * dearer
        };
        Codec::ALL.into_iter().find(due).unwrap_or(best)
    }

    /// A batch of `plain` bytes, for which `codec` was asked, became `encoded` bytes in `cpu` of processor time.
    #[allow(clippy::cast_precision_loss)] // Batches are far under 2^52 bytes.
    pub fn encoded(&mut self, codec: Codec, plain: usize, encoded: usize, cpu: Duration) {
        if plain < TELLING {
            return;
        }
        let seen = &mut self.seen[usize::from(codec.number())];
        let cost = cpu.as_secs_f64() / plain as f64;
        let ratio = encoded as f64 / plain as f64;
        if let Some(known) = &mut seen.cpu {
            // What was seen long ago was of other content: it counts for less, after a while for nothing.
            let newest = (f64::from(seen.ago) / TRY_AGAIN).clamp(NEWEST, 1.0);
            *known += newest * (cost - *known);
            seen.ratio += newest * (ratio - seen.ratio);
        } else {
            seen.cpu = Some(cost);
            seen.ratio = ratio;
        }
        seen.ago = 0;
    }

    /// Pages were read and hashed for a batch of `plain` bytes, in `cpu` of processor time.
    #[allow(clippy::cast_precision_loss)] // As above.
    pub fn gathered(&mut self, plain: usize, cpu: Duration) {
        if plain < TELLING {
            return;
        }
        let cost = cpu.as_secs_f64() / plain as f64;
        let known = self.gather.get_or_insert(cost);
        *known += NEWEST * (cost - *known);
    }

    /// The link took `bytes` in `took`: the time for which whoever writes to it was kept busy, without the time for
    /// which there was nothing to write.
    #[allow(clippy::cast_precision_loss)] // As above.
    pub fn sent(&mut self, bytes: usize, took: Duration) {
        self.link_bytes += bytes as f64;
        self.link_seconds += took.as_secs_f64();
        if self.link_bytes > LINK_MEMORY {
            self.link_bytes /= 2.0;
            self.link_seconds /= 2.0;
        }
    }

    /// Bytes a second that the link takes, `None` before anything has been sent.
    pub fn link_speed(&self) -> Option<f64> {
        (self.link_bytes > 0.0 && self.link_seconds > 0.0).then(|| self.link_bytes / self.link_seconds)
    }

    /// The next call of [`Chooser::take`] is of another thread, whose clock of processor time is another one.
    pub fn change_thread(&mut self) {
        self.taken = None;
    }

    /// What several have learnt that sent side by side, for one that sends alone: it has the whole link. `None` of none.
    pub fn joined<'a>(choosers: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut choosers = choosers.into_iter();
        let mut joined = choosers.next()?.clone();
        for other in choosers {
            if let Some(speed) = other.link_speed() {
                joined.link_bytes += speed * joined.link_seconds;
            }
        }
        joined.taken = None;
        Some(joined)
    }

    /// Takes the encoder's batch with the codec that is best, and learns from it. `cpu` is a clock of processor time,
    /// such as [`thread_cpu_time`], of a thread that does nothing else but read pages and call this.
    pub fn take(&mut self, encoder: &mut Encoder, cpu: impl Fn() -> Duration) -> Option<Batch> {
        let codec = self.choose(encoder.frozen());
        let began = cpu();
        let batch = encoder.take(codec)?;
        let ended = cpu();
        self.encoded(codec, batch.plain, batch.bytes.len(), ended.saturating_sub(began));
        if let Some(gathering) = self.taken.replace(ended).and_then(|last| began.checked_sub(last)) {
            self.gathered(batch.plain, gathering);
        }
        Some(batch)
    }

    fn of(&self, codec: Codec) -> &Seen {
        &self.seen[usize::from(codec.number())]
    }

    fn best(&self, price: f64) -> Codec {
        Codec::ALL
            .into_iter()
            .min_by(|one, other| self.cost(*one, price).total_cmp(&self.cost(*other, price)))
            .unwrap_or(Codec::None)
    }

    /// Seconds for each byte before compression.
    fn cost(&self, codec: Codec, price: f64) -> f64 {
        let link = self.link_speed().map_or(UNKNOWN_LINK, f64::recip);
        match self.of(codec).cpu {
            Some(cpu) => {
                let encoding = cpu + self.gather.unwrap_or(0.0);
                encoding.max(self.of(codec).ratio * link) + price * cpu
            }
            // Not tried: never preferred to what is known; among unknown ones the first is the cheapest.
            None => f64::MAX,
        }
    }
}

/// Processor time of the calling thread (`CLOCK_THREAD_CPUTIME_ID`); zero if the kernel does not say.
pub fn thread_cpu_time() -> Duration {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID);
    time.map(Duration::from).unwrap_or_default()
}
