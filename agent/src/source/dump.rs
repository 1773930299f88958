//! One container in the freeze: its gate is opened, CRIU dumps it, its images travel.

use std::time::Duration;

use futures::{
    FutureExt,
    future::{BoxFuture, Shared, try_join3},
};
use godwit_container::{
    call::{Outcome, RunningCall, stderr_tail},
    images::log,
};
use godwit_runtime::record::{self, RecordDir, Stage};
use godwit_transfer::{ContainerName, Message};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    facts::SourceContainer,
    images::send_images,
    memory::{LastRound, Tracked},
    room,
    stall::stalled,
};
use crate::{
    failure::{AtStep, Failure},
    peer::Sender,
    step::SourceStep,
};

/// CRIU's log of a dump, in its work directory, which is the gate's.
pub(super) const DUMP_LOG: &str = "dump.log";
/// The relay's last stage of a dump that succeeded.
const DONE: &str = "done";
/// How often the relay's stages are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A runtime call that somebody waits for all the time.
///
/// The wait has a task of its own, because to end it closes an inotify descriptor, for which the kernel takes 10 to 80 ms: not in
/// the freeze.
pub(super) struct Waiting(Shared<BoxFuture<'static, Result<Outcome, Failure>>>);

impl Waiting {
    /// Waits for the call from now on.
    pub(super) fn new(call: RunningCall) -> Self {
        let waiting = tokio::spawn(async move { call.wait().await });
        let ended = async move {
            let ended = waiting
                .await
                .map_err(|error| Failure::from_error(SourceStep::Dump, "Internal", &error))?;
            ended.at(SourceStep::Dump)
        };
        Self(ended.boxed().shared())
    }

    /// How the call ended, when it has.
    pub(super) async fn ended(&self) -> Result<Outcome, Failure> {
        self.0.clone().await
    }
}

/// A container that CRIU has dumped and that is sent.
pub(super) struct Dumped {
    /// When CRIU was done.
    pub(super) over: Instant,
    /// What ends tracking, if its memory travelled ahead.
    pub(super) tracked: Option<Tracked>,
}

/// Dumps a frozen container and sends its images, and beside them the last of its memory if that travelled ahead.
pub(super) async fn dump(
    sender: &Sender,
    container: &SourceContainer,
    call: &Waiting,
    last: Option<LastRound>,
) -> Result<Dumped, Failure> {
    let step = SourceStep::Dump;
    let gate = RecordDir::open_handed(&container.gate_dir).at(step)?;
    gate.mark(record::GO).at(step)?;
    let (dumped, watching) = watch::channel(false);
    let dumping = async {
        // CRIU's word is enough: after it runc only ends, which would cost the freeze another ten milliseconds.
        tokio::select! {
            () = criu_is_done(&gate) => {}
            outcome = call.ended() => {
                let ended = outcome.and_then(|outcome| {
                    if outcome.success() {
                        Ok(())
                    } else {
                        Err(failed(step, container, &outcome))
                    }
                });
                ended.map_err(|failure| room::or_no_room(failure, step, &container.image_dir))?;
            }
            failure = stalled(container) => return Err(failure),
        }
        dumped.send_replace(true);
        Ok(Instant::now())
    };
    let sending = async {
        send_images(sender, container.name(), &container.image_dir, watching)
            .await
            .at(step)
    };
    let pages = async {
        match last {
            Some(last) => last.send(sender).await.map(Some),
            None => Ok(None),
        }
    };
    let (over, (), last) = try_join3(dumping, sending, pages).await?;
    let tracked = match last {
        Some(last) => Some(last.send_missing(sender, container.image_dir.clone()).await?),
        None => None,
    };
    sender
        .send(Message::ImagesComplete(ContainerName::new(container.name())))
        .await
        .at(step)?;
    Ok(Dumped { over, tracked })
}

/// Returns when the relay has passed on CRIU's word that the dump succeeded; never, if it fails.
async fn criu_is_done(gate: &RecordDir) {
    loop {
        if let Ok(Some(stages)) = gate.read_json::<Vec<Stage>>(record::STAGES) {
            if stages.last().is_some_and(|stage| stage.name == DONE) {
                return;
            }
            std::future::pending::<()>().await;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// What a runtime call that did not succeed means, in CRIU's own words where it has any.
pub(super) fn failed(step: SourceStep, container: &SourceContainer, outcome: &Outcome) -> Failure {
    let criu = log::decisive_line(&container.gate_dir.join(DUMP_LOG))
        .ok()
        .flatten();
    let runc = stderr_tail(&container.call_dir).trim().to_owned();
    let said = criu
        .or(Some(runc).filter(|text| !text.is_empty()))
        .unwrap_or_else(|| "neither CRIU nor runc left a message".to_owned());
    let (reason, how) = if outcome.timed_out {
        ("DumpTimedOut", "did not end in time and was stopped".to_owned())
    } else {
        let status = outcome
            .exit
            .map_or_else(|| "a signal".to_owned(), |exit| format!("status {exit}"));
        ("DumpFailed", format!("ended with {status}"))
    };
    Failure::new(
        step,
        reason,
        format!("container {}: runc checkpoint {how}: {said}", container.name()),
    )
}
