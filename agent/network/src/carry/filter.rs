//! The node's filters against forged senders, while held packets are on their way.
//!
//! A held packet passes the node of the old pod once more, and then perhaps the very node that it came from, with a
//! sender that these nodes expect elsewhere or that is their own. So on the one interface it comes in by, such senders are let
//! through for a few seconds.

use serde::{Deserialize, Serialize};

use crate::{Error, sysctl};

/// An interface whose filters are relaxed for a while, and their settings before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relaxed {
    /// The interface.
    pub device: String,
    /// Its `rp_filter` before: 0, 1 or 2.
    pub rp_filter: u8,
    /// Its `accept_local` before: 0 or 1.
    pub accept_local: u8,
}

impl Relaxed {
    /// What relaxing the interface would change; nothing if it is relaxed already, by its owner or by another carried
    /// address, which then also restores it.
    pub(super) fn survey(device: &str) -> Result<Option<Self>, Error> {
        let read = |name: &str| {
            let text = sysctl::read(&format!("ipv4/conf/{device}/{name}"))?;
            text.parse::<u8>()
                .map_err(|_| Error::Malformed(format!("{name} of {device}")))
        };
        let found = Self {
            device: device.to_owned(),
            rp_filter: read("rp_filter")?,
            accept_local: read("accept_local")?,
        };
        Ok(Some(found).filter(|found| (found.rp_filter, found.accept_local) != (2, 1)))
    }

    /// 2 is loose filtering: the larger of this and the setting for "all" counts, so 0 would not do.
    pub(super) fn relax(&self) -> Result<(), Error> {
        self.write(2, 1)
    }

    pub(super) fn restore(&self) -> Result<(), Error> {
        self.write(self.rp_filter, self.accept_local)
    }

    fn write(&self, rp_filter: u8, accept_local: u8) -> Result<(), Error> {
        sysctl::write_if_there(
            &format!("ipv4/conf/{}/rp_filter", self.device),
            &rp_filter.to_string(),
        )?;
        sysctl::write_if_there(
            &format!("ipv4/conf/{}/accept_local", self.device),
            &accept_local.to_string(),
        )
    }
}
