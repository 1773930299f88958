//! What is left of the memory in the freeze.

use std::path::PathBuf;

use godwit_memory::{
    images::lazy_pages,
    range::{PAGE, PageRange},
};
use godwit_runtime::veil;
use tokio::task;

use super::{
    container::{ContainerMemory, MemoryError},
    copying::Memory,
    pump::{Batches, Pump},
};
use crate::{
    failure::{AtStep, Failure},
    peer::Sender,
    step::SourceStep,
};

impl Memory {
    /// Before CRIU begins: finds what is left. Gives how many pages that is.
    pub(in crate::source) async fn last_look(&mut self) -> Result<u64, Failure> {
        let step = SourceStep::FinalPages;
        let mut containers = std::mem::take(&mut self.containers);
        let looked = task::spawn_blocking(move || {
            let pages = containers
                .iter_mut()
                .map(ContainerMemory::last_look)
                .sum::<Result<u64, MemoryError>>();
            (containers, pages)
        });
        let (containers, pages) = looked.await.map_err(|_| MemoryError::Thread).at(step)?;
        self.containers = containers;
        pages.at(step)
    }

    /// Beside CRIU: takes the containers apart, each to be sent beside its dump.
    pub(in crate::source) fn last_rounds(&mut self) -> Vec<LastRound> {
        let round = self.number + 1;
        self.number += 2;
        std::mem::take(&mut self.containers)
            .into_iter()
            .map(|container| LastRound { container, round })
            .collect()
    }
}

fn range(span: &veil::Span) -> PageRange {
    PageRange {
        start: span.start,
        pages: (span.end - span.start) / PAGE,
    }
}

/// One container's last pages.
pub(in crate::source) struct LastRound {
    container: ContainerMemory,
    round: u32,
}

impl LastRound {
    /// Beside CRIU's dump: sends what the last look has found.
    pub(in crate::source) async fn send(self, sender: &Sender) -> Result<Self, Failure> {
        let Self { container, round } = self;
        let (container, ()) = Pump { sender, round }
            .run(container, ContainerMemory::last_round)
            .await?;
        Ok(Self { container, round })
    }

    /// After it: sends what CRIU's images in `directory` lack and was never sent. Tracking ends with what is given.
    pub(in crate::source) async fn send_missing(
        self,
        sender: &Sender,
        directory: PathBuf,
    ) -> Result<Tracked, Failure> {
        let Self { container, round } = self;
        let name = container.name.clone();
        let missing = move |container: &mut ContainerMemory, out: &Batches| {
            // Most of it is hidden from CRIU, so that the dump does not grow with it; the relay has noted what.
            let hidden = veil::hidden(&directory)?;
            let seen = lazy_pages(&directory)?.into_iter();
            let mut lacking: Vec<_> = seen.map(|process| (process.ns_pid, process.ranges)).collect();
            lacking.extend(
                hidden
                    .into_iter()
                    .map(|(process, spans)| (process, spans.iter().map(range).collect())),
            );
            container.missing(&lacking, out)
        };
        let round = round + 1;
        let (container, pages) = Pump { sender, round }.run(container, missing).await?;
        if pages > 0 {
            tracing::info!(container = name, pages, "pages that no round had found");
        }
        Ok(Tracked(Some(container)))
    }
}

/// Memory that is tracked although all of it has been sent: to end that takes some 10 ms for each GiB, in which others wait for the process's
/// memory map. So it is kept until the freeze is over.
pub(in crate::source) struct Tracked(Option<ContainerMemory>);

impl Drop for Tracked {
    fn drop(&mut self) {
        let container = self.0.take();
        drop(task::spawn_blocking(move || drop(container)));
    }
}
