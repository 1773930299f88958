//! Whether this kernel has what a migration needs of its network, found out by trying, in a namespace that nobody else is in.

use crate::hold::{Hold, QueueNumbers};
use crate::{Error, Netns};

/// Whether packets can be queued: the source holds them by it, and the target keeps silent. True or false is the kernel's answer to the very rules
/// of a [`Hold`]; any other failure is an error and says nothing about the kernel. Leaves nothing behind: the rules end with their namespace.
pub async fn packet_queues() -> Result<bool, Error> {
    let netns = Netns::unshared()?;
    match Hold::prepare(netns, QueueNumbers::default()).await {
        Ok(_) => Ok(true),
        Err(Error::NoQueue) => Ok(false),
        Err(error) => Err(error),
    }
}
