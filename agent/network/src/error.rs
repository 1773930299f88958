//! What can go wrong in this crate.

use std::io;
use std::time::Duration;

/// An operation on a network namespace that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The namespace could not be opened or entered; mostly the pod is gone.
    #[error("cannot enter the network namespace {netns}; is the pod still there?")]
    Netns {
        /// What was to be opened.
        netns: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The kernel refused something.
    #[error("{what} was refused by the kernel")]
    Kernel {
        /// What was asked of it.
        what: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The kernel or a thread did not answer in time.
    #[error("{what} took longer than {} ms", .limit.as_millis())]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long was waited.
        limit: Duration,
    },
    /// Neither nftables `queue` nor the xtables target NFQUEUE exists on this node.
    #[error(
        "this kernel has neither nftables' queue statement nor NFQUEUE: load the module nft_queue or xt_NFQUEUE, \
         or use connections: Close"
    )]
    NoQueue,
    /// The other node cannot be reached without a router in between, so that a /32 route to it would be lost.
    #[error(
        "node address {node} is behind the router {router}: carrying an address needs nodes in one network \
         segment; use connections: Close"
    )]
    NotDirect {
        /// The other node's address.
        node: std::net::Ipv4Addr,
        /// The router in between.
        router: std::net::Ipv4Addr,
    },
    /// A route or an interface that was expected is missing.
    #[error("{0} is missing")]
    Missing(String),
    /// A file of the kernel holds something that this crate does not understand, or more than it is willing to read.
    #[error("{0} cannot be understood")]
    Malformed(String),
    /// The requested move makes no sense.
    #[error("{0}")]
    Plan(&'static str),
}

impl Error {
    /// A stable name for conditions and events.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Netns { .. } => "NetworkNamespaceGone",
            Self::Kernel { .. } => "KernelRefused",
            Self::Deadline { .. } => "NetworkDeadline",
            Self::NoQueue => "NoPacketQueue",
            Self::NotDirect { .. } => "NodesNotDirectlyConnected",
            Self::Missing(_) => "NetworkPartMissing",
            Self::Malformed(_) => "NetworkStateMalformed",
            Self::Plan(_) => "InvalidCarryPlan",
        }
    }

    pub(crate) fn kernel(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Kernel {
            what: what.into(),
            source: source.into(),
        }
    }

    /// The kernel's error number, if this is a refusal of the kernel.
    pub(crate) fn errno(&self) -> Option<i32> {
        match self {
            Self::Kernel { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}
