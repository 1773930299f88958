//! The steps of a migration by their stable names: they stand in status, in logs and in injected faults.

use std::fmt;

/// What the source's agent does, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceStep {
    /// Finding the pod's containers on the node.
    Discover,
    /// Beginning to track which memory is written.
    TrackMemory,
    /// Connecting to the target's agent and agreeing on what is to be moved.
    Connect,
    /// Putting the (still open) hold into the pod's network namespace.
    PrepareHold,
    /// Sending the files while the source runs.
    CopyFiles,
    /// Sending memory while the source runs.
    CopyMemory,
    /// Starting `runc checkpoint` up to its gate.
    PrepareCheckpoint,
    /// Asking the target to end the parking, and waiting for its first container.
    EndParking,
    /// Freezing every container.
    Freeze,
    /// Closing the network.
    Hold,
    /// Finding out which memory is left to be sent.
    FinalPages,
    /// CRIU's dump, and sending what it writes.
    Dump,
    /// Sending files that changed since they were copied.
    CopyChanges,
    /// Waiting until the target has restored everything.
    AwaitPrepared,
    /// Writing the decision down.
    Commit,
    /// Waiting until the target says that it runs.
    AwaitRunning,
    /// Carrying the address to the target.
    Carry,
    /// Removing what is left once the source pod is gone.
    CleanUp,
}

/// What the target's agent does, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TargetStep {
    /// Waiting for the source's agent and agreeing with it.
    Accept,
    /// Making the records by which the runtime knows the containers.
    MakeRecords,
    /// Adding the source's addresses to the pod.
    PrepareAddress,
    /// Starting the processes that will give the containers their memory.
    ReceivePages,
    /// Ending the parking.
    EndParking,
    /// Waiting for a container to reach the runtime.
    AwaitParked,
    /// Writing the files that came ahead.
    ApplyFiles,
    /// Receiving images and changes.
    Receive,
    /// Restoring a container and holding it.
    Restore,
    /// Writing down that everything is held.
    Prepare,
    /// Waiting for the source's decision.
    AwaitVerdict,
    /// Letting the containers go.
    LetGo,
    /// Routing the addresses to the pod.
    Carry,
    /// Filling the memory in while the pod runs.
    Fill,
}

impl fmt::Display for SourceStep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

impl fmt::Display for TargetStep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}
