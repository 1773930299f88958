//! How much CPU time a container may take, and how much it takes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::freezer::Version;
use super::hierarchy::{Membership, gone, memberships};
use super::{CgroupError, v1, v2};
use crate::host::Host;

/// The kernel's least quota in a period, in µs (`min_cfs_quota_period`, kernel/sched/core.c).
const LEAST_QUOTA_US: u64 = 1000;

/// What a group may take: `quota_us` µs of CPU time, on all CPUs together, in each `period_us` µs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CpuLimit {
    /// The quota in µs; `None` if there is no limit.
    pub quota_us: Option<u64>,
    /// The period in µs, which there is even without a limit.
    pub period_us: u64,
}

/// What a group has taken over some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuUse {
    /// CPU time, on all CPUs together.
    pub used: Duration,
    /// How long that was.
    pub over: Duration,
}

impl CpuLimit {
    /// The limit that leaves `percent` of what was used: in the same period, never more than this limit, never less than the kernel's
    /// least, which is 1 % of one CPU in the usual period of 100 ms.
    #[must_use]
    pub fn cut(self, usage: CpuUse, percent: u8) -> Self {
        let parts = u128::from(self.period_us) * usage.used.as_nanos() * u128::from(percent);
        let whole = usage.over.as_nanos().max(1) * 100;
        let wanted = u64::try_from(parts / whole).unwrap_or(u64::MAX);
        let most = self.quota_us.unwrap_or(u64::MAX);
        Self {
            quota_us: Some(wanted.max(LEAST_QUOTA_US).min(most)),
            ..self
        }
    }
}

/// The CPU controller of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cpu {
    version: Version,
    directory: PathBuf,
    /// Where the CPU time is counted: another hierarchy, perhaps, in version 1.
    accounting: PathBuf,
}

impl Cpu {
    /// The CPU controller of the group that process `pid` is in; version 1 is preferred where it is mounted, since a controller is only in
    /// one of both. Refused are a group without the controller and one that also holds `host`'s own first process or the caller.
    pub fn of_pid(host: &Host, pid: i32) -> Result<Self, CgroupError> {
        let (version, directory, accounting) = locate(&memberships(host, pid)?, pid)?;
        for other in [host.pid, i32::try_from(std::process::id()).unwrap_or(host.pid)] {
            let theirs = memberships(host, other).and_then(|all| locate(&all, other));
            // The caller may be in groups that the host does not mount; then it is surely not in this one.
            if theirs.is_ok_and(|(_, theirs, _)| theirs.starts_with(&directory)) {
                return Err(CgroupError::NotItsOwn { path: directory });
            }
        }
        let found = Self::at(version, &host.path(&directory), &host.path(&accounting));
        // In version 2 a group has the controller only if the group above hands it on.
        let file = found.directory.join(match version {
            Version::V1 => v1::QUOTA,
            Version::V2 => v2::CPU_MAX,
        });
        if file.exists() {
            Ok(found)
        } else {
            Err(missing(pid, "cpu"))
        }
    }

    /// The controller of the group at `directory`, whose CPU time is counted at `accounting`; both as this process can reach them.
    pub fn at(version: Version, directory: &Path, accounting: &Path) -> Self {
        Self {
            version,
            directory: directory.to_owned(),
            accounting: accounting.to_owned(),
        }
    }

    /// The group's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The limit now.
    pub fn limit(&self) -> Result<CpuLimit, CgroupError> {
        match self.version {
            Version::V1 => v1::cpu_limit(&self.directory),
            Version::V2 => v2::cpu_limit(&self.directory),
        }
    }

    /// Sets a limit, whose period must be that of [`Self::limit`]. It holds at once; processes that a former limit kept waiting go on. The
    /// kernel refuses one that groups above or below do not allow.
    pub fn set_limit(&self, limit: CpuLimit) -> Result<(), CgroupError> {
        match self.version {
            Version::V1 => v1::set_cpu_quota(&self.directory, limit.quota_us),
            Version::V2 => v2::set_cpu_limit(&self.directory, limit),
        }
    }

    /// Sets `former` again if the limit is still one of `ours`; what somebody else has set meanwhile stays. True if there was anything to
    /// do. Without effect on a group that is gone, and when it is called again.
    pub fn put_back(&self, former: CpuLimit, ours: &[CpuLimit]) -> Result<bool, CgroupError> {
        let put_back = || {
            let limit = self.limit()?;
            // By the quota alone: with another period than ours it is no less ours, and no less too small.
            if limit == former || !ours.iter().any(|own| own.quota_us == limit.quota_us) {
                return Ok(false);
            }
            self.set_limit(former).map(|()| true)
        };
        match { put_back }() {
            Err(CgroupError::File { source, .. }) if gone(&source) => Ok(false),
            other => other,
        }
    }

    /// CPU time that the group, with those below it, has taken since it was made.
    pub fn used(&self) -> Result<Duration, CgroupError> {
        match self.version {
            Version::V1 => v1::cpu_used(&self.accounting),
            Version::V2 => v2::cpu_used(&self.accounting),
        }
    }
}

/// Which controller, where it is and where it counts, as paths of the host.
fn locate(all: &[Membership], pid: i32) -> Result<(Version, PathBuf, PathBuf), CgroupError> {
    let of_v1 = |controller: &str| all.iter().find(|one| one.has(controller));
    if let Some(cpu) = of_v1("cpu") {
        let accounting = of_v1("cpuacct").ok_or_else(|| missing(pid, "cpuacct"))?;
        return Ok((Version::V1, cpu.directory.clone(), accounting.directory.clone()));
    }
    let group = all.iter().find(|one| one.is_v2());
    let group = group.ok_or_else(|| missing(pid, "cpu"))?;
    Ok((Version::V2, group.directory.clone(), group.directory.clone()))
}

fn missing(pid: i32, controller: &'static str) -> CgroupError {
    CgroupError::NoController { pid, controller }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fake(version: Version, files: &[(&str, &str)]) -> (tempfile::TempDir, Cpu) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let cpu = Cpu::at(version, dir.path(), dir.path());
        (dir, cpu)
    }

    fn v1_with(quota: &str) -> (tempfile::TempDir, Cpu) {
        let files = [
            (v1::QUOTA, quota),
            ("cpu.cfs_period_us", "100000\n"),
            ("cpuacct.usage", "1500000000\n"),
        ];
        fake(Version::V1, &files)
    }

    fn v2_with(max: &str) -> (tempfile::TempDir, Cpu) {
        let stat = "usage_usec 1500000\nuser_usec 9\n";
        fake(Version::V2, &[(v2::CPU_MAX, max), ("cpu.stat", stat)])
    }

    fn limit(quota_us: Option<u64>) -> CpuLimit {
        CpuLimit {
            quota_us,
            period_us: 100_000,
        }
    }

    const ONE_CPU: CpuUse = CpuUse {
        used: Duration::from_secs(2),
        over: Duration::from_secs(2),
    };

    #[test]
    fn both_versions_say_the_same() {
        for (quota, max, is) in [
            ("-1\n", "max 100000\n", None),
            ("150000\n", "150000 100000\n", Some(150_000)),
        ] {
            for (_dir, cpu) in [v1_with(quota), v2_with(max)] {
                assert_eq!(cpu.limit().unwrap(), limit(is));
                assert_eq!(cpu.used().unwrap(), Duration::from_millis(1500));
            }
        }
    }

    #[test]
    fn what_was_there_is_put_back_to_the_letter() {
        for (quota, max) in [("-1", "max 100000"), ("150000", "150000 100000")] {
            let (old, new) = (v1_with(quota), v2_with(max));
            for ((dir, cpu), file, text) in [(old, v1::QUOTA, quota), (new, v2::CPU_MAX, max)] {
                let former = cpu.limit().unwrap();
                let ours = [former.cut(ONE_CPU, 80), former.cut(ONE_CPU, 60)];
                for limit in ours {
                    cpu.set_limit(limit).unwrap();
                    assert_eq!(cpu.limit().unwrap(), limit);
                }
                assert!(cpu.put_back(former, &ours).unwrap());
                assert_eq!(std::fs::read_to_string(dir.path().join(file)).unwrap(), text);
                assert!(!cpu.put_back(former, &ours).unwrap());
            }
        }
    }

    #[test]
    fn what_somebody_else_has_set_stays() {
        let (_dir, cpu) = v2_with("50000 100000\n");
        let put_back = cpu.put_back(limit(None), &[limit(Some(30_000))]);
        assert!(!put_back.unwrap());
        assert_eq!(cpu.limit().unwrap(), limit(Some(50_000)));
        // A period that somebody else has set is no reason to leave a container slowed down.
        let (_dir, cpu) = v2_with("30000 200000\n");
        assert!(cpu.put_back(limit(None), &[limit(Some(30_000))]).unwrap());
        assert_eq!(cpu.limit().unwrap(), limit(None));
    }

    #[test]
    fn a_group_that_is_gone_has_nothing_to_put_back() {
        let nowhere = Path::new("/nonexistent");
        for version in [Version::V1, Version::V2] {
            let cpu = Cpu::at(version, nowhere, nowhere);
            assert!(!cpu.put_back(limit(None), &[limit(Some(1000))]).unwrap());
            assert_eq!(cpu.limit().unwrap_err().reason(), "CgroupUnusable");
        }
    }

    #[test]
    fn a_cut_leaves_a_part_of_what_is_used_within_the_limits() {
        let used = |milliseconds| CpuUse {
            used: Duration::from_millis(milliseconds),
            over: Duration::from_millis(500),
        };
        assert_eq!(limit(None).cut(used(1000), 80), limit(Some(160_000)));
        assert_eq!(limit(None).cut(used(500), 10), limit(Some(10_000)));
        assert_eq!(limit(Some(30_000)).cut(used(500), 80), limit(Some(30_000)));
        assert_eq!(limit(None).cut(used(0), 80), limit(Some(1000)));
        let short = CpuLimit {
            quota_us: None,
            period_us: 10_000,
        };
        assert_eq!(short.cut(used(500), 20).quota_us, Some(2000));
        let nothing = CpuUse {
            used: Duration::MAX,
            over: Duration::ZERO,
        };
        assert_eq!(limit(Some(5000)).cut(nothing, 99), limit(Some(5000)));
    }

    #[test]
    fn a_file_that_says_something_else_is_an_error() {
        for text in ["", "many", "-2", "max", "1 2 3", "18446744073709551616 1"] {
            for (_dir, cpu) in [v1_with(text), v2_with(text)] {
                assert_eq!(cpu.limit().unwrap_err().reason(), "CgroupUnusable", "{text:?}");
            }
        }
        let (_dir, cpu) = fake(Version::V2, &[("cpu.stat", "user_usec 1\n")]);
        assert_eq!(cpu.used().unwrap_err().reason(), "CgroupUnusable");
    }

    fn member(controllers: &[&str], directory: &str) -> Membership {
        Membership {
            controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
            directory: PathBuf::from(directory),
        }
    }

    #[test]
    fn the_controller_is_found_in_either_version_and_missed_by_name() {
        let unified = member(&[], "/unified/c");
        let (acct, cpu) = (member(&["cpuacct"], "/acct/c"), member(&["cpu"], "/cpu/c"));
        let both = member(&["cpu", "cpuacct"], "/both/c");
        let found = |all: &[Membership]| locate(all, 7).map_err(|error| error.reason());
        let split = [unified.clone(), acct, cpu.clone()];
        assert_eq!(
            found(&split),
            Ok((Version::V1, "/cpu/c".into(), "/acct/c".into()))
        );
        assert_eq!(
            found(&[both]),
            Ok((Version::V1, "/both/c".into(), "/both/c".into()))
        );
        assert_eq!(
            found(&[unified]),
            Ok((Version::V2, "/unified/c".into(), "/unified/c".into()))
        );
        assert_eq!(found(&[cpu]), Err("CpuControllerMissing"));
        assert_eq!(found(&[member(&["freezer"], "/f")]), Err("CpuControllerMissing"));
    }

    #[test]
    fn the_callers_own_group_is_refused() {
        let host = Host::own();
        assert_eq!(Cpu::of_pid(&host, host.pid).unwrap_err().reason(), "CgroupShared");
    }
}
