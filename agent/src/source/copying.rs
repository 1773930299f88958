//! Files, while the pod runs: a copy of every tree, then what has changed in volumes meanwhile, round after round, so that little is left
//! for the freeze.

use std::time::Duration;

use godwit_transfer::{ObjectSpec, Pass};
use tokio::time::sleep;

use super::{attempt::Attempt, connect::not_connected, facts::SourcePod, stream::send_stream};
use crate::{
    failure::{AtStep, Failure},
    files::{self, Base, Part},
    peer::Sender,
    step::SourceStep,
    talk, volumes,
};

/// Most rounds for a volume after a copy of it.
const ROUNDS: u32 = 5;
/// What is as little as this may be left for the freeze, in bytes: some tens of milliseconds on a usual network.
const LITTLE: u64 = 4 << 20;

/// How often the status says how many bytes have been sent.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Whether one more round is worth its while: `before` and `last` are the bytes that the two passes before it have sent.
///
/// A round sends what was written while the one before it was under way. If that is not getting less, it never will.
fn another_round(before: u64, last: u64) -> bool {
    last > LITTLE && last < before / 4 * 3
}

impl Attempt {
    /// Sends every tree of the pod.
    pub(super) async fn copy_files(&mut self, pod: &SourcePod) -> Result<Vec<Base>, Failure> {
        let step = SourceStep::CopyFiles;
        let volumes = volumes::open(&self.node, &self.plan.source_pod_uid, &pod.volumes)
            .await
            .at(step)?;
        let parts = pod.parts(&self.node.host, volumes);
        self.while_listening(async |sender| {
            let mut bases = Vec::with_capacity(parts.len());
            for part in parts {
                bases.push(copy(sender, part).await?);
            }
            Ok(bases)
        })
        .await
    }

    /// Sends again what has changed in volumes since.
    pub(super) async fn copy_files_again(&mut self, bases: Vec<Base>) -> Result<Vec<Base>, Failure> {
        if !bases.iter().any(Base::takes_rounds) {
            return Ok(bases);
        }
        self.while_listening(async |sender| {
            let mut again = Vec::with_capacity(bases.len());
            for base in bases {
                again.push(if base.takes_rounds() {
                    rounds(sender, base).await?
                } else {
                    base
                });
            }
            Ok(again)
        })
        .await
    }

    /// That the target gives up, for want of room above all, is heard in its own words.
    async fn while_listening<T>(
        &mut self,
        copying: impl AsyncFnOnce(&Sender) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let step = SourceStep::CopyFiles;
        let Self { link, status, .. } = self;
        let (sender, receiver) = link.as_mut().ok_or_else(|| not_connected(step))?;
        let sender = &*sender;
        let telling = async {
            loop {
                sleep(TELL_EVERY).await;
                let bytes = i64::try_from(sender.object_bytes()).unwrap_or(i64::MAX);
                status.say(|report| report.bytes_sent = bytes);
            }
        };
        tokio::select! {
            () = telling => Err(not_connected(step)),
            heard = talk::expect(receiver, step, |_| false) => Err(match heard {
                Err(failure) => failure,
                Ok(()) => not_connected(step),
            }),
            copied = copying(sender) => copied,
        }
    }
}

async fn copy(sender: &Sender, part: Part) -> Result<Base, Failure> {
    let spec = ObjectSpec::new(part.kind(Pass::Base));
    send_stream(sender, spec, move |writer| files::write_base(part, writer))
        .await
        .at(SourceStep::CopyFiles)
}

/// At least one, for what was written since the last pass is not known before.
async fn rounds(sender: &Sender, mut base: Base) -> Result<Base, Failure> {
    let mut before = u64::MAX;
    for round in 1..=ROUNDS {
        let spec = ObjectSpec::new(base.kind(Pass::Base));
        base = send_stream(sender, spec, move |writer| files::write_round(base, writer))
            .await
            .at(SourceStep::CopyFiles)?;
        let last = base.bytes();
        tracing::debug!(round, bytes = last, "changes of a volume sent");
        if !another_round(before, last) {
            break;
        }
        before = last;
    }
    Ok(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_go_on_while_each_leaves_less() {
        const MIB: u64 = 1 << 20;
        assert!(another_round(u64::MAX, 100 * MIB), "the first one tells nothing");
        assert!(another_round(100 * MIB, 20 * MIB));
        assert!(!another_round(100 * MIB, 90 * MIB), "as fast as it is sent");
        assert!(!another_round(u64::MAX, MIB), "little enough");
        assert!(!another_round(8 * MIB, 4 * MIB), "little enough");
    }
}
