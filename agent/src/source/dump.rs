//! One container in the freeze: its gate is opened, CRIU dumps it, its images travel.

use futures::future::try_join;
use godwit_container::{
    call::{Outcome, RunningCall, stderr_tail},
    images::log,
};
use godwit_runtime::record::{self, RecordDir};
use godwit_transfer::{ContainerName, Message};
use tokio::{sync::watch, time::Instant};

use super::{facts::SourceContainer, images::send_images};
use crate::{
    failure::{AtStep, Failure},
    peer::Sender,
    step::SourceStep,
};

/// CRIU's log of a dump, in its work directory, which is the gate's.
const DUMP_LOG: &str = "dump.log";

/// Dumps a frozen container and sends its images; gives when the dump was over.
pub(super) async fn dump(sender: &Sender, container: &SourceContainer, call: &RunningCall) -> Result<Instant, Failure> {
    let step = SourceStep::Dump;
    RecordDir::open_handed(&container.gate_dir).at(step)?.mark(record::GO).at(step)?;
    let (dumped, watching) = watch::channel(false);
    let dumping = async {
        let outcome = call.wait().await.at(step)?;
        if !outcome.success() {
            return Err(failed(step, container, call, &outcome));
        }
        dumped.send_replace(true);
        Ok(Instant::now())
    };
    let sending = async { send_images(sender, container.name(), &container.image_dir, watching).await.at(step) };
    let (over, ()) = try_join(dumping, sending).await?;
    sender.send(Message::ImagesComplete(ContainerName::new(container.name()))).await.at(step)?;
    Ok(over)
}

/// What a runtime call that did not succeed means, in CRIU's own words where it has any.
pub(super) fn failed(step: SourceStep, container: &SourceContainer, call: &RunningCall, outcome: &Outcome) -> Failure {
    let criu = log::decisive_line(&container.gate_dir.join(DUMP_LOG)).ok().flatten();
    let runc = stderr_tail(call.directory()).trim().to_owned();
    let said = criu.or(Some(runc).filter(|text| !text.is_empty())).unwrap_or_else(|| "neither CRIU nor runc left a message".to_owned());
    let (reason, how) = if outcome.timed_out {
        ("DumpTimedOut", "did not end in time and was stopped".to_owned())
    } else {
        let status = outcome.exit.map_or_else(|| "a signal".to_owned(), |exit| format!("status {exit}"));
        ("DumpFailed", format!("ended with {status}"))
    };
    Failure::new(step, reason, format!("container {}: runc checkpoint {how}: {said}", container.name()))
}

