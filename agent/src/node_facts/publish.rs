//! All of it, gathered, and written anew when it changes.

use std::sync::Arc;
use std::time::Duration;

use godwit_container::host::Host;
use godwit_crds::{NodeFacts, ProtocolFacts};
use godwit_network::probe;
use godwit_preflight::cpu;
use godwit_transfer::PROTOCOL_VERSIONS;
use tokio::{select, task, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{features, kernel, without};
use crate::{failure::chain, kube_side::NodeLabel, node::Node};

/// How often it is looked whether something has changed: an administrator sets a sysctl, or the mode of huge pages.
const AGAIN: Duration = Duration::from_mins(1);

/// Everything that can be found out. Takes some tenths of a second, for CRIU tries features of the kernel.
pub async fn gather(node: &Node) -> NodeFacts {
    NodeFacts {
        criu: features::ask(node).await,
        packet_queues: packet_queues(None).await,
        ..of_kernel(&node.host).await
    }
}

/// Publishes anew whenever something has changed, until it is told to end.
pub async fn keep(node: Arc<Node>, label: NodeLabel, published: NodeFacts, end: CancellationToken) {
    select! {
        () = end.cancelled() => {}
        () = follow(&node, &label, published) => {}
    }
}

async fn follow(node: &Node, label: &NodeLabel, mut published: NodeFacts) {
    loop {
        select! {
            () = sleep(AGAIN) => {}
            () = without::changed(&node.host) => {}
        }
        // What CRIU has found is what it will find, until the agent brings another one along.
        let criu = match published.criu.clone() {
            Some(criu) => Some(criu),
            None => features::ask(node).await,
        };
        let now = NodeFacts {
            criu,
            packet_queues: packet_queues(published.packet_queues).await,
            ..of_kernel(&node.host).await
        };
        if now != published {
            label.describe(&now).await;
            published = now;
        }
    }
}

/// Whether packets can be queued; a module may be loaded at any time, so a no is asked for again.
async fn packet_queues(before: Option<bool>) -> Option<bool> {
    if before == Some(true) {
        return before;
    }
    match probe::packet_queues().await {
        Ok(has) => Some(has),
        Err(error) => {
            tracing::warn!(
                error = chain(&error),
                "it is not known whether packets can be queued"
            );
            None
        }
    }
}

/// All but what has to be tried, which is empty.
async fn of_kernel(host: &Host) -> NodeFacts {
    let host = host.clone();
    let read = move || NodeFacts {
        cpu: Some(without::applied(&host, cpu::here())),
        page_size: kernel::page_size(),
        criu: None,
        packet_queues: None,
        cgroup: kernel::cgroups(&host),
        lsm: Some(kernel::security_module(&host)),
        seccomp: kernel::seccomp(&host),
        pid_max: kernel::pid_max(&host),
        huge_pages: kernel::huge_pages(&host),
        protocol: Some(ProtocolFacts {
            oldest: *PROTOCOL_VERSIONS.start(),
            newest: *PROTOCOL_VERSIONS.end(),
        }),
    };
    // An error means that the look panicked: then nothing is known.
    task::spawn_blocking(read).await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_this_machine_is_like_fits_into_its_annotation_and_is_read_from_it() {
        let facts = of_kernel(&Host::own()).await;
        assert!(
            facts
                .seccomp
                .as_ref()
                .is_some_and(|actions| actions.contains("allow"))
        );
        assert!(facts.cpu.is_some() && facts.page_size.is_some() && facts.pid_max.is_some());
        let text = facts.to_annotation().unwrap();
        assert!(text.len() < 4 << 10, "{} bytes", text.len());
        assert_eq!(NodeFacts::from_annotation(&text).unwrap(), facts);
        assert_eq!(of_kernel(&Host::own()).await, facts);
    }
}
