//! What every method can do for one process.

use std::time::Duration;

use super::Dirty;
use super::cut::{Unknown, cut};
use super::error::TrackError;
use super::maps::Mapping;
use super::process::Process;
use super::scan::{Pagemap, Wanted};

/// What a look at a process gave.
#[derive(Debug)]
pub enum Look {
    /// These pages were written since the last look; at the first look, all there are.
    Dirty {
        /// The pages.
        ranges: Vec<Dirty>,
        /// For how long the process was stopped for it.
        stopped: Duration,
    },
    /// The process has other memory than at the last look (it began another program), or none. Watching has to begin anew.
    Replaced,
}

/// The state of one process under one method. Dropping it ends the watching and leaves nothing behind.
pub trait Watch: Send + Sync {
    /// Looks at the process. `mappings` were read just before. With `frozen` the process cannot run now, and must not be made to.
    fn look(
        &mut self,
        process: &Process,
        mappings: &[Mapping],
        pagemap: &Pagemap,
        frozen: bool,
    ) -> Result<Look, TrackError>;
}

/// All pages there are.
pub fn whole(process: &Process, mappings: &[Mapping], pagemap: &Pagemap) -> Result<Vec<Dirty>, TrackError> {
    let found = pagemap
        .scan_all(Wanted::All, &super::maps::runs(mappings))
        .map_err(|errno| TrackError::read(process.pid, "the page map")(errno.into()))?;
    Ok(cut(&found, mappings, Unknown::Left))
}

/// The method that tracks nothing: everything, each time.
#[derive(Debug)]
pub struct Untracked;

impl Watch for Untracked {
    fn look(
        &mut self,
        process: &Process,
        mappings: &[Mapping],
        pagemap: &Pagemap,
        _frozen: bool,
    ) -> Result<Look, TrackError> {
        Ok(Look::Dirty {
            ranges: whole(process, mappings, pagemap)?,
            stopped: Duration::ZERO,
        })
    }
}
