//! The container that is being restored: CRIU out of its cgroups, its tasks frozen, or ended.

use std::time::Duration;

use super::RelayError;
use crate::cgroup::{CgroupError, Freezer, Membership};

/// How long freezing may take. It takes well below a millisecond: the tasks are stopped by ptrace.
const FREEZE_LIMIT: Duration = Duration::from_secs(10);
/// How long ending may take.
const END_LIMIT: Duration = Duration::from_secs(10);

/// The cgroups of the container that is being restored.
#[derive(Debug)]
pub(super) struct Held {
    freezer: Freezer,
    /// Its cgroups but for those that it shares with runc.
    own: Membership,
}

impl Held {
    /// Looks up the container's cgroups: those into which runc has put CRIU. They must not be runc's own (`home`), because
    /// freezing or ending the container would hit runc then.
    pub(super) fn find(criu_pid: i32, home: &Membership) -> Result<Self, RelayError> {
        let container = Membership::of(criu_pid)?;
        let freezer = container
            .freezer()
            .ok_or(CgroupError::NoFreezer { pid: criu_pid })?;
        if home.freezer().is_some_and(|home| freezer.contains(&home)) {
            return Err(RelayError::SharedCgroup {
                path: freezer.directory().to_path_buf(),
            });
        }
        let own = container.apart_from(home);
        Ok(Self { freezer, own })
    }

    /// Before the gate: moves this process, if runc has caught it too, back to where runc is; and on v1 CRIU to the freezer cgroup that
    /// runc is in, because frozen together with the tasks CRIU would hang for ever. A move takes up to 10 ms, so it is not left for the
    /// freeze. In v1's other hierarchies CRIU stays where runc has put it: its tasks are born there, which is how [`Self::end`] finds
    /// those not moved yet, and their own moves cost nothing (moving CRIU out of all made a restore longer by a third).
    pub(super) fn leave(&self, criu_pid: i32, home: &Membership) -> Result<(), RelayError> {
        let me = nix::unistd::getpid().as_raw();
        home.take(me, &Membership::of(me)?)?;
        if self.freezer.is_unified() {
            Ok(())
        } else {
            Self::leave_freezer(criu_pid, home)
        }
    }

    /// At pre-resume: moves CRIU out on v2, where tasks born elsewhere could not be told from others.
    pub(super) fn leave_late(&self, criu_pid: i32, home: &Membership) -> Result<(), RelayError> {
        if self.freezer.is_unified() {
            Self::leave_freezer(criu_pid, home)
        } else {
            Ok(())
        }
    }

    fn leave_freezer(criu_pid: i32, home: &Membership) -> Result<(), RelayError> {
        let there = Membership::of(criu_pid)?;
        Ok(home.freezing_only().take(criu_pid, &there)?)
    }

    /// Freezes the container; gives its cgroups as seen at its first process.
    pub(super) fn freeze(&self, criu_pid: i32, init_pid: i32) -> Result<Vec<String>, RelayError> {
        let path = || self.freezer.directory().to_path_buf();
        for pid in [criu_pid, nix::unistd::getpid().as_raw()] {
            if self.freezer.contains(&Freezer::of(pid)?) {
                return Err(RelayError::NotMoved { path: path() });
            }
        }
        self.freezer.freeze(FREEZE_LIMIT)?;
        let init = Membership::of(init_pid)?;
        if !init
            .freezer()
            .is_some_and(|freezer| self.freezer.contains(&freezer))
        {
            return Err(RelayError::Misplaced { path: path() });
        }
        Ok(init.lines())
    }

    /// Ends whatever there is of the container, without letting it run, and removes its cgroups.
    pub(super) fn end(&self) -> Result<(), RelayError> {
        self.freezer.end_all(END_LIMIT)?;
        // On v1 CRIU's helpers, and tasks that it has not moved yet, are in the other hierarchies only. Kubelet removes what should be
        // left after the limit together with the pod's cgroup.
        self.own.end_all(END_LIMIT);
        Ok(())
    }

    /// Stops whatever there is of the container, as far as possible.
    pub(super) fn stop(&self) {
        // Ending follows in any case, so a failure changes nothing.
        let _ = self.freezer.freeze(Duration::from_secs(1));
    }

    /// The container's freezer.
    pub(super) fn freezer(&self) -> &Freezer {
        &self.freezer
    }
}
