//! Until the pod has all its memory. It runs meanwhile, and the page server needs nobody: an agent that is killed here takes it up again.

use std::time::Duration;

use godwit_crds::TargetMemory;
use godwit_memory::range::PAGE;
use tokio::time::sleep;

use super::{
    container::TargetContainer,
    page_server::{Filled, PageServer},
    status::TargetStatus,
};
use crate::failure::chain;

/// How often it is looked how far the page servers are.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The API server hears of it no more often than each so many looks.
const SAY_EVERY: u32 = 4;

/// How far the page servers of the containers are; `None` if there are none.
pub(super) fn memory(containers: &[TargetContainer]) -> Option<TargetMemory> {
    let left: Vec<u64> = containers.iter().filter_map(bytes_left).collect();
    if left.is_empty() {
        return None;
    }
    let bytes: u64 = left.iter().sum();
    Some(TargetMemory {
        pages_left: bytes.div_ceil(PAGE),
        filled: bytes == 0,
    })
}

/// How much is left for a container's page server to fill, if there is one. What is lost for good is not waited for.
fn bytes_left(container: &TargetContainer) -> Option<u64> {
    match PageServer::of(&container.name, &container.image_dir).filled() {
        Ok(None) => None,
        Ok(Some(Filled::All)) => Some(0),
        // It has not ended yet.
        Ok(Some(Filled::Left(bytes))) => Some(bytes.max(1)),
        Ok(Some(Filled::Lost(bytes))) => {
            tracing::error!(
                container = container.name,
                bytes,
                "the page server has ended before all memory was filled in"
            );
            Some(0)
        }
        Err(error) => {
            tracing::warn!(
                container = container.name,
                error = chain(&error),
                "it cannot be told how far the memory is"
            );
            Some(1)
        }
    }
}

/// Waits until everything is filled in, and says how far it is.
pub(super) async fn wait(containers: &[TargetContainer], status: &mut TargetStatus) {
    let mut looks = 0_u32;
    while let Some(memory) = memory(containers) {
        let filled = memory.filled;
        status.memory(memory);
        if filled {
            status.again();
            return;
        }
        if looks.is_multiple_of(SAY_EVERY) {
            status.again();
        }
        looks += 1;
        sleep(LOOK_EVERY).await;
    }
}
