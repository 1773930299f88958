//! By what the source's agent comes to a migration's task.

use tokio::sync::mpsc;

use super::link::Link;
use crate::peer::Caller;

/// The ends of the ways that the engine knows.
pub struct Doors {
    /// Connections on which a migration is talked about.
    pub links: mpsc::Receiver<Link>,
    /// Callers that want to bring memory.
    pub lanes: mpsc::Receiver<Caller>,
}

impl Doors {
    /// Nobody is let in any more, and who waits is sent away.
    pub(super) fn close(&mut self) {
        self.links.close();
        self.lanes.close();
        while self.links.try_recv().is_ok() {}
        while self.lanes.try_recv().is_ok() {}
    }
}
