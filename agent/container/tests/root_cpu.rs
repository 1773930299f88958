//! Real processes in groups below the caller's own get less CPU time, and theirs back. Needs root.

#![cfg(test)]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use godwit_container::cgroup::{Cpu, CpuLimit, CpuUse, memberships};
use godwit_container::host::Host;

const DEADLINE: Duration = Duration::from_secs(10);
/// Several periods of 100 ms.
const WATCHED: Duration = Duration::from_millis(800);

/// A busy process in a group of its own, in every hierarchy that has one of the controllers in question. Both go when it is dropped.
struct Busy {
    directories: Vec<PathBuf>,
    child: Child,
}

impl Busy {
    fn start() -> Self {
        let host = Host::own();
        let all = memberships(&host, host.pid).unwrap();
        let wanted = all
            .iter()
            .filter(|one| one.has("cpu") || one.has("cpuacct") || one.is_v2());
        let name = format!("gwt-cpu-{}", host.pid);
        let directories: Vec<_> = wanted.map(|one| one.directory.join(&name)).collect();
        let mut script = String::new();
        for directory in &directories {
            std::fs::create_dir(directory).unwrap();
            write!(script, "echo $$ > {}/cgroup.procs && ", directory.display()).unwrap();
        }
        script.push_str("while :; do :; done");
        let child = Command::new("/bin/sh")
            .args(["-c", &script])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { directories, child }
    }

    /// None if this machine's processes have no CPU controller below their own group.
    fn cpu(&self) -> Option<Cpu> {
        let host = Host::own();
        let pid = i32::try_from(self.child.id()).unwrap();
        let since = Instant::now();
        loop {
            match Cpu::of_pid(&host, pid) {
                Ok(cpu) => return Some(cpu),
                Err(error) if error.reason() == "CpuControllerMissing" => return None,
                Err(error) => assert!(since.elapsed() < DEADLINE, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let since = Instant::now();
        for directory in &self.directories {
            while std::fs::remove_dir(directory).is_err() && since.elapsed() < DEADLINE {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

fn watch(cpu: &Cpu) -> CpuUse {
    let (before, since) = (cpu.used().unwrap(), Instant::now());
    std::thread::sleep(WATCHED);
    CpuUse {
        used: cpu.used().unwrap().saturating_sub(before),
        over: since.elapsed(),
    }
}

#[test]
fn a_busy_process_is_cut_down_step_by_step_and_gets_back_what_it_had() {
    let busy = Busy::start();
    let Some(cpu) = busy.cpu() else {
        return;
    };
    let unlimited = cpu.limit().unwrap();
    assert_eq!(unlimited.quota_us, None);
    let of_its_own = CpuLimit {
        quota_us: Some(90_000),
        ..unlimited
    };
    for former in [unlimited, of_its_own] {
        cpu.set_limit(former).unwrap();
        let usage = watch(&cpu);
        assert!(!usage.used.is_zero());
        let mut ours = Vec::new();
        for percent in [80, 60, 40, 20, 10] {
            let limit = former.cut(usage, percent);
            cpu.set_limit(limit).unwrap();
            assert_eq!(cpu.limit().unwrap(), limit, "the kernel keeps another limit");
            ours.push(limit);
        }
        // At a tenth; half is far more than the kernel lets pass at the edges of the periods. A loaded machine gives less, never more.
        let cut = watch(&cpu);
        assert!(
            cut.used.as_secs_f64() / cut.over.as_secs_f64() < 0.5,
            "not slowed down: {cut:?} after {usage:?}"
        );
        assert!(cpu.put_back(former, &ours).unwrap());
        assert_eq!(cpu.limit().unwrap(), former);
    }
}
