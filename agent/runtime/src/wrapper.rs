//! The OCI runtime wrapper: what containerd calls instead of runc.
//!
//! It becomes runc by exec for everything but: the `create` of a parking container, which gets Godwit's own program; the `create` of a
//! container that the agent has on record, which becomes a restore; the first `start` after that, which has nothing to do.

mod bundle;
mod call;
mod error;
mod log;
mod park;
mod restore;
mod runc;
mod started;

use std::convert::Infallible;
use std::process::ExitCode;

pub use call::{Call, Create};
pub use error::WrapperError;
pub use started::marks;

use godwit_memory::causes::with_causes;

use crate::layout::Layout;
use crate::record::{COMMITTED, RecordDir};

/// The program `godwit-runtime`. Prints nothing: its standard streams are the container's. Errors go to `--log` as runc's do.
pub fn main(layout: &Layout) -> ExitCode {
    let call = Call::parse(std::env::args_os().skip(1).collect());
    match run(layout, &call) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error(&call, &with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(layout: &Layout, call: &Call) -> Result<(), WrapperError> {
    if let Some(create) = call.create() {
        if handled(layout, call, &create)? {
            return Ok(());
        }
    } else if let Some(id) = call.id_of("start") {
        if started::first(layout, id)? {
            return Ok(());
        }
    } else if let Some(id) = call.id_of("delete") {
        started::kill_held(layout, id)?;
        runc::unmount_leftover(call, id);
        started::forget(layout, id)?;
    } else if let Some(id) = call.killed() {
        started::kill_held(layout, id)?;
    } else if let Some(id) = call.id_of("state")
        && started::pending(layout, id)?
    {
        return runc::state_created(call);
    }
    let never: Infallible = runc::become_it(call)?;
    match never {}
}

/// Whether this `create` is done already; if not it is an ordinary one, perhaps with another program.
fn handled(layout: &Layout, call: &Call, create: &Create) -> Result<bool, WrapperError> {
    // A bundle that cannot be read is runc's to complain of.
    let Some(identity) = bundle::identity(&create.bundle) else {
        return Ok(false);
    };
    if identity.container.starts_with(park::PREFIX) {
        park::rewrite(&create.bundle, &layout.park_binary())?;
        return Ok(false);
    }
    // A name that cannot be a file name cannot have a record.
    let Ok(path) = layout.record_dir(&identity.pod_uid, &identity.container) else {
        return Ok(false);
    };
    let Some(directory) = RecordDir::open(layout, &path)? else {
        return Ok(false);
    };
    if directory.has(COMMITTED)? {
        return Ok(false);
    }
    restore::instead(layout, call, create, &directory)?;
    Ok(true)
}
