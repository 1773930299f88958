//! Two nodes' facts against each other. What is not known of one of them is not compared.

use godwit_crds::checks::CheckInfo;
use godwit_crds::checks::cpu::CPU_INCOMPATIBLE;
use godwit_crds::checks::nodes::{
    NODE_ARCHITECTURE, NODE_CGROUPS, NODE_CLOCKS, NODE_CRIU, NODE_GUARD_PAGES, NODE_HUGE_PAGES, NODE_LSM,
    NODE_PACKET_QUEUES, NODE_PAGE_SIZE, NODE_PIDS, NODE_PROCESS_NUMBERS, NODE_PROTOCOL, NODE_SECCOMP,
    NODE_USERFAULTFD,
};
use godwit_crds::cpu::{Cpu, lacking, summary};
use godwit_crds::{CgroupFacts, Lsm, MEMORY_TRACKING_LABEL, NodeFacts, TrackingMethod};
use kube::ResourceExt;

use super::Unlike;
use crate::known_node::KnownNode;

/// A check of a pair, with the reason that its findings have, and how it is made.
type Row = (&'static CheckInfo, &'static str, fn(&Pair<'_>) -> Found);

const ROWS: [Row; 15] = [
    (&NODE_ARCHITECTURE, "ArchitectureDiffers", |pair| {
        pair.architecture()
    }),
    (&CPU_INCOMPATIBLE, "CpuIncompatible", |pair| pair.processor()),
    (&NODE_PAGE_SIZE, "PageSizeDiffers", |pair| pair.page_size()),
    (&NODE_CGROUPS, "CgroupsDiffer", |pair| pair.cgroups()),
    (&NODE_CRIU, "CriuOlder", |pair| pair.criu()),
    (&NODE_PROTOCOL, "VersionMismatch", |pair| pair.protocol()),
    (&NODE_PACKET_QUEUES, "NoPacketQueue", |pair| pair.packet_queues()),
    (&NODE_USERFAULTFD, "UserfaultfdMissing", |pair| pair.userfaultfd()),
    (&NODE_CLOCKS, "ClocksNotKept", |pair| pair.clocks()),
    (&NODE_LSM, "SecurityModuleDiffers", |pair| pair.security_module()),
    (&NODE_SECCOMP, "SeccompDiffers", |pair| pair.seccomp()),
    (&NODE_PIDS, "PidMaxLower", |pair| pair.pids()),
    (&NODE_PROCESS_NUMBERS, "SetTidMissing", |pair| {
        pair.process_numbers()
    }),
    (&NODE_GUARD_PAGES, "GuardPagesMissing", |pair| pair.guard_pages()),
    (&NODE_HUGE_PAGES, "HugePagesDiffer", |pair| pair.huge_pages()),
];

/// Every check that [`compare`] does, in its order, with the reason that its findings have.
pub fn checks() -> impl Iterator<Item = (&'static CheckInfo, &'static str)> {
    ROWS.iter().map(|(check, reason, _)| (*check, *reason))
}

/// Longest list in a message, in bytes: what is in it is of a foreign hand.
const MAX_LIST: usize = 200;
/// CRIU's names (`feature_list`, `criu/cr-check.c`).
const USERFAULTFD: &str = "uffd-noncoop";
const SET_TID: &str = "clone3_set_tid";
const TIME_NAMESPACES: &str = "timens";
const GUARD_PAGES: &str = "pagemap_scan_guard_pages";

/// The two nodes with their names.
struct Pair<'a> {
    from: &'a str,
    source: &'a NodeFacts,
    to: &'a str,
    destination: &'a NodeFacts,
    /// Whether memory is filled in after the restore.
    fills_in: bool,
}

/// A finding of one check: whether it refuses, and in what words.
type Found = Option<(bool, String)>;

/// What differs between the source's node and the destination, each given with its name, in the order of [`checks`]. `fills_in`: memory is to be
/// copied ahead of the freeze and filled in after it.
pub fn compare(source: (&str, &NodeFacts), destination: (&str, &NodeFacts), fills_in: bool) -> Vec<Unlike> {
    let pair = Pair {
        from: source.0,
        source: source.1,
        to: destination.0,
        destination: destination.1,
        fills_in,
    };
    let found = ROWS.iter().filter_map(|(check, reason, find)| {
        let (refuses, message) = find(&pair)?;
        Some(Unlike {
            check,
            reason,
            refuses,
            message,
        })
    });
    found.collect()
}

/// Whether writes to memory can be tracked on that node, so that it is copied ahead; also if nobody says.
pub(super) fn tracks(node: &KnownNode) -> bool {
    let method = node.labels().get(MEMORY_TRACKING_LABEL);
    method.and_then(|name| TrackingMethod::from_name(name)) != Some(TrackingMethod::None)
}

impl Pair<'_> {
    /// What both nodes say of one thing.
    fn both<T>(&self, of: impl for<'f> Fn(&'f NodeFacts) -> Option<&'f T>) -> Option<(&T, &T)> {
        Some((of(self.source)?, of(self.destination)?))
    }

    /// What CRIU says of a feature: here and there.
    fn feature(&self, name: &str) -> (Option<bool>, Option<bool>) {
        let of = |facts: &NodeFacts| facts.criu.as_ref()?.features.get(name).copied();
        (of(self.source), of(self.destination))
    }

    fn architecture(&self) -> Found {
        let (here, there) = self.both(|facts| facts.cpu.as_ref())?;
        (here.architecture != there.architecture).then(|| {
            let message = format!(
                "node {} is {}, and the pod's programs are for {}; choose another node",
                self.to, there.architecture, here.architecture
            );
            (true, message)
        })
    }

    fn processor(&self) -> Found {
        let (here, there) = self.both(|facts| facts.cpu.as_ref())?;
        let lacking = lacking_of_one(here, there)?;
        let message = format!(
            "the processor of node {} lacks {}, which programs of the pod may use; choose a node of class {} (label {})",
            self.to,
            summary(&lacking),
            here.class(),
            godwit_crds::CPU_CLASS_LABEL,
        );
        Some((true, message))
    }

    fn page_size(&self) -> Found {
        let (here, there) = self.both(|facts| facts.page_size.as_ref())?;
        (here != there).then(|| {
            let message = format!(
                "pages of memory have {there} bytes on node {} and {here} on {}; choose another node",
                self.to, self.from
            );
            (true, message)
        })
    }

    fn cgroups(&self) -> Found {
        let (here, there) = self.both(|facts| facts.cgroup.as_ref())?;
        (here != there).then(|| {
            let message = format!(
                "node {} has {}, and {} has {}, which the pod's containers see mounted; choose another node, or boot both alike",
                self.to,
                told(there),
                self.from,
                told(here),
            );
            (true, message)
        })
    }

    fn criu(&self) -> Found {
        let (here, there) = self.both(|facts| facts.criu.as_ref())?;
        let (ours, theirs) = (version(&here.version)?, version(&there.version)?);
        (theirs < ours).then(|| {
            let message = format!(
                "node {} has CRIU {}, which cannot be relied on to read what CRIU {} of node {} writes; finish the upgrade of the agents, or choose a node that has been upgraded",
                self.to,
                numbers(&theirs),
                numbers(&ours),
                self.from
            );
            (true, message)
        })
    }

    fn protocol(&self) -> Found {
        let (here, there) = self.both(|facts| facts.protocol.as_ref())?;
        let common = here.oldest <= there.newest && there.oldest <= here.newest;
        (!common).then(|| {
            let message = format!(
                "the agent on node {} speaks versions {} to {} and that on {} versions {} to {}; finish the upgrade of the agents",
                self.to, there.oldest, there.newest, self.from, here.oldest, here.newest
            );
            (true, message)
        })
    }

    fn packet_queues(&self) -> Found {
        let nodes = [(self.source, self.from), (self.destination, self.to)];
        let (_, node) = nodes
            .iter()
            .find(|(facts, _)| facts.packet_queues == Some(false))?;
        let message = format!(
            "the kernel of node {node} cannot queue packets, which wait while the pod is frozen; load the module nft_queue or xt_NFQUEUE there"
        );
        Some((true, message))
    }

    fn userfaultfd(&self) -> Found {
        let (_, there) = self.feature(USERFAULTFD);
        (self.fills_in && there == Some(false)).then(|| {
            let message = format!(
                "the kernel of node {} lacks userfaultfd with its events, by which memory that was copied ahead is filled in; set spec.memory to StopAndCopy, or choose another node",
                self.to
            );
            (true, message)
        })
    }

    fn clocks(&self) -> Found {
        let (here, there) = self.feature(TIME_NAMESPACES);
        let lacks = [(here, self.from), (there, self.to)];
        let (_, node) = lacks.iter().find(|(has, _)| *has == Some(false))?;
        // The same kernel's clock goes on by itself.
        (self.from != self.to).then(|| {
            let message = format!(
                "the kernel of node {node} has no time namespaces, so CLOCK_MONOTONIC of the pod's programs would jump by the difference of the nodes' uptimes; boot a kernel with CONFIG_TIME_NS, or choose another node"
            );
            (true, message)
        })
    }

    fn security_module(&self) -> Found {
        let (here, there) = self.both(|facts| facts.lsm.as_ref())?;
        if here == there {
            return None;
        }
        if *here == Lsm::None {
            let message = format!(
                "node {} has {}, and {} has no such module: the pod's processes stay without a profile until their containers start anew",
                self.to,
                there.as_str(),
                self.from
            );
            return Some((false, message));
        }
        let message = format!(
            "processes of node {} have profiles of {}, and node {} has {}: CRIU would not restore them; choose another node",
            self.from,
            here.as_str(),
            self.to,
            if *there == Lsm::None {
                "no such module"
            } else {
                there.as_str()
            }
        );
        Some((true, message))
    }

    fn seccomp(&self) -> Found {
        let (here, there) = self.both(|facts| facts.seccomp.as_ref())?;
        let lacking: Vec<String> = here.difference(there).cloned().collect();
        (!lacking.is_empty()).then(|| {
            let mut what = if there.is_empty() {
                "no seccomp filters".to_owned()
            } else {
                format!("no seccomp action {}", summary(&lacking))
            };
            what.truncate(what.floor_char_boundary(MAX_LIST));
            let message = format!(
                "the kernel of node {} knows {what}, unlike that of {}: a process with such a filter would not be restored, or be killed at its first system call of that kind; choose another node",
                self.to, self.from
            );
            (true, message)
        })
    }

    fn process_numbers(&self) -> Found {
        (self.feature(SET_TID) == (Some(true), Some(false))).then(|| {
            let message = format!(
                "the kernel of node {} cannot be told the number of a new process (clone3 with set_tid), unlike that of {}: processes are restored one after the other, and the freeze is longer",
                self.to, self.from
            );
            (false, message)
        })
    }

    fn pids(&self) -> Found {
        let (here, there) = self.both(|facts| facts.pid_max.as_ref())?;
        (there < here).then(|| {
            let message = format!(
                "kernel.pid_max is {there} on node {} and {here} on {}: if a process of the pod has such a number, the restore fails and is rolled back; set it alike",
                self.to, self.from
            );
            (false, message)
        })
    }

    fn guard_pages(&self) -> Found {
        (self.feature(GUARD_PAGES) == (Some(true), Some(false))).then(|| {
            let message = format!(
                "the kernel of node {} is not known to have guard pages by MADV_GUARD_INSTALL, unlike that of {}: if a program of the pod uses them (threads of glibc from 2.42 on), the restore fails and is rolled back",
                self.to, self.from
            );
            (false, message)
        })
    }

    fn huge_pages(&self) -> Found {
        let (here, there) = self.both(|facts| facts.huge_pages.as_ref())?;
        (there == "always" && here != there).then(|| {
            let message = format!(
                "transparent huge pages are for everybody on node {} and not on {}, so the pod may need more memory there",
                self.to, self.from
            );
            (false, message)
        })
    }
}

/// What one processor lacks of another of its architecture.
fn lacking_of_one(here: &Cpu, there: &Cpu) -> Option<Vec<String>> {
    let lacking = lacking(here, there);
    (here.architecture == there.architecture && !lacking.is_empty()).then_some(lacking)
}

/// How cgroups are mounted, in words.
fn told(cgroup: &CgroupFacts) -> String {
    let mut text = format!("cgroup version {}", cgroup.version);
    if !cgroup.hierarchies.is_empty() {
        let names: Vec<&str> = cgroup.hierarchies.iter().map(String::as_str).collect();
        text.push_str(" with ");
        text.push_str(&names.join(" "));
        text.truncate(text.floor_char_boundary(MAX_LIST));
    }
    text
}

/// Numbers of a release, as far as they are numbers: `4.2.1`, `4.2-dev`. `None` for what does not begin with one.
fn version(text: &str) -> Option<Vec<u32>> {
    let leading = |part: &str| {
        let digits = part
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(part.len());
        part[..digits].parse::<u32>().ok()
    };
    let numbers: Vec<u32> = text.split('.').take(4).map_while(leading).collect();
    (!numbers.is_empty()).then_some(numbers)
}

fn numbers(version: &[u32]) -> String {
    let parts: Vec<String> = version.iter().map(u32::to_string).collect();
    parts.join(".")
}

#[cfg(test)]
mod tests;
