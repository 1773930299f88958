//! Whether a freeze can be as short as `spec.freezeBudget` wants it.

use std::time::Duration;

use godwit_crds::MemoryMode;
use godwit_crds::checks::source::FREEZE_BUDGET_EXCEEDED;
use godwit_memory::track::{self, Method};
use tokio::task;

use godwit_preflight::Finding;

use super::finding::of_node;
use crate::{node::Node, source::shortest_freeze};

/// The check, for a pod with so many bytes resident.
pub(super) async fn check(node: &Node, memory: u64, mode: MemoryMode, budget: Duration) -> Option<Finding> {
    let tracked = mode != MemoryMode::StopAndCopy
        && task::spawn_blocking(|| track::probe() != Method::None)
            .await
            .unwrap_or(false);
    let freeze = shortest_freeze(node, memory, tracked);
    (freeze > budget).then(|| of_node(&FREEZE_BUDGET_EXCEEDED, message(freeze, budget, memory, tracked)))
}

fn message(freeze: Duration, budget: Duration, memory: u64, tracked: bool) -> String {
    let how = if tracked {
        "whatever is copied ahead"
    } else {
        "since memory is copied in it"
    };
    format!(
        "the freeze would take about {} ms, {how} (the pod has {} MiB of memory), and spec.freezeBudget is {} ms; raise it",
        freeze.as_millis(),
        memory >> 20,
        budget.as_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_both_times_and_the_field() {
        let (freeze, budget) = (Duration::from_millis(340), Duration::from_millis(100));
        for (tracked, words) in [(true, "ahead"), (false, "copied in it")] {
            let message = message(freeze, budget, 64 << 20, tracked);
            for word in ["340 ms", "100 ms", "64 MiB", "spec.freezeBudget", words] {
                assert!(message.contains(word), "{word}: {message}");
            }
        }
    }
}
