//! Freezing and CPU time in version 2 (Documentation/admin-guide/cgroup-v2.rst, `cgroup.freeze`, `cpu.max`, `cpu.stat`).

use std::path::Path;
use std::time::Duration;

use godwit_proc::bounded;

use super::{CgroupError, CpuLimit, State};

/// Quota (`max` without a limit) and period in µs.
pub(super) const CPU_MAX: &str = "cpu.max";

pub(super) fn request(directory: &Path, frozen: bool) -> Result<(), CgroupError> {
    let path = directory.join("cgroup.freeze");
    std::fs::write(&path, if frozen { "1" } else { "0" }).map_err(CgroupError::file("write", path))
}

/// `cgroup.freeze` is what was asked for, `frozen` in `cgroup.events` is what has come of it. A group below a frozen one is frozen
/// without having been asked.
pub(super) fn state(directory: &Path) -> Result<State, CgroupError> {
    let path = directory.join("cgroup.freeze");
    let asked = bounded::read_text(&path, 64).map_err(CgroupError::file("read", &path))?;
    let events = directory.join("cgroup.events");
    let text = bounded::read_text(&events, 4096).map_err(CgroupError::file("read", &events))?;
    let is = text.lines().find_map(|line| line.strip_prefix("frozen "));
    match (asked.trim_end(), is) {
        (_, Some("1")) => Ok(State::Frozen),
        ("1", Some("0")) => Ok(State::Freezing),
        ("0", Some("0")) => Ok(State::Thawed),
        _ => Err(CgroupError::UnknownState {
            path: events,
            content: text,
        }),
    }
}

pub(super) fn cpu_limit(directory: &Path) -> Result<CpuLimit, CgroupError> {
    let path = directory.join(CPU_MAX);
    let text = bounded::read_text(&path, 64).map_err(CgroupError::file("read", &path))?;
    let parsed = text.trim_end().split_once(' ').and_then(|(quota, period)| {
        Some(CpuLimit {
            quota_us: match quota {
                "max" => None,
                quota => Some(quota.parse().ok()?),
            },
            period_us: period.parse().ok()?,
        })
    });
    parsed.ok_or(CgroupError::UnknownState { path, content: text })
}

pub(super) fn set_cpu_limit(directory: &Path, limit: CpuLimit) -> Result<(), CgroupError> {
    let path = directory.join(CPU_MAX);
    let quota = limit
        .quota_us
        .map_or_else(|| "max".to_owned(), |quota| quota.to_string());
    let text = format!("{quota} {}", limit.period_us);
    std::fs::write(&path, text).map_err(CgroupError::file("write", path))
}

pub(super) fn cpu_used(directory: &Path) -> Result<Duration, CgroupError> {
    let path = directory.join("cpu.stat");
    let text = bounded::read_text(&path, 4096).map_err(CgroupError::file("read", &path))?;
    let used = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
    used.and_then(|used| used.parse().ok())
        .map(Duration::from_micros)
        .ok_or(CgroupError::UnknownState { path, content: text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asked_and_reached_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let cases = [
            ("0", "0", State::Thawed),
            ("1", "0", State::Freezing),
            ("1", "1", State::Frozen),
            ("0", "1", State::Frozen),
        ];
        for (asked, is, state_is) in cases {
            std::fs::write(dir.path().join("cgroup.freeze"), format!("{asked}\n")).unwrap();
            std::fs::write(
                dir.path().join("cgroup.events"),
                format!("populated 1\nfrozen {is}\n"),
            )
            .unwrap();
            assert_eq!(state(dir.path()).unwrap(), state_is, "{asked} {is}");
        }
        std::fs::write(dir.path().join("cgroup.events"), "populated 1\n").unwrap();
        assert_eq!(state(dir.path()).unwrap_err().reason(), "CgroupUnusable");
    }
}
