//! The controllers of version 1: freezer (Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst), cpu
//! (Documentation/scheduler/sched-bwc.rst) and cpuacct (Documentation/admin-guide/cgroup-v1/cpuacct.rst).

use std::path::Path;
use std::time::Duration;

use godwit_proc::bounded;

use super::{CgroupError, CpuLimit, State};

const STATE: &str = "freezer.state";
/// The quota in µs, `-1` without a limit.
pub(super) const QUOTA: &str = "cpu.cfs_quota_us";

pub(super) fn request(directory: &Path, frozen: bool) -> Result<(), CgroupError> {
    let path = directory.join(STATE);
    std::fs::write(&path, if frozen { "FROZEN" } else { "THAWED" }).map_err(CgroupError::file("write", path))
}

/// Reading is what makes the kernel notice that the last task has frozen.
pub(super) fn state(directory: &Path) -> Result<State, CgroupError> {
    let path = directory.join(STATE);
    let text = bounded::read_text(&path, 64).map_err(CgroupError::file("read", &path))?;
    match text.trim_end() {
        "THAWED" => Ok(State::Thawed),
        "FREEZING" => Ok(State::Freezing),
        "FROZEN" => Ok(State::Frozen),
        _ => Err(CgroupError::UnknownState { path, content: text }),
    }
}

pub(super) fn cpu_limit(directory: &Path) -> Result<CpuLimit, CgroupError> {
    Ok(CpuLimit {
        quota_us: number(directory, QUOTA, |text| match text {
            "-1" => Some(None),
            text => text.parse().ok().map(Some),
        })?,
        period_us: number(directory, "cpu.cfs_period_us", |text| text.parse().ok())?,
    })
}

pub(super) fn set_cpu_quota(directory: &Path, quota_us: Option<u64>) -> Result<(), CgroupError> {
    let path = directory.join(QUOTA);
    let text = quota_us.map_or_else(|| "-1".to_owned(), |quota| quota.to_string());
    std::fs::write(&path, text).map_err(CgroupError::file("write", path))
}

/// `cpuacct.usage` is in nanoseconds.
pub(super) fn cpu_used(directory: &Path) -> Result<Duration, CgroupError> {
    number(directory, "cpuacct.usage", |text| text.parse().ok()).map(Duration::from_nanos)
}

fn number<T>(directory: &Path, file: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, CgroupError> {
    let path = directory.join(file);
    let text = bounded::read_text(&path, 64).map_err(CgroupError::file("read", &path))?;
    parse(text.trim_end()).ok_or(CgroupError::UnknownState { path, content: text })
}
