//! Tasks that CRIU or the freezer could not take hold of, from `/proc/PID/task/TID/status` (`proc_pid_status(5)`). Reading it stops nobody.

use std::{collections::BTreeSet, fs, path::Path, thread, time::Duration};

use godwit_crds::checks::source::{BLOCKED_TASKS, TRACED_TASKS};

use super::finding::Finding;

/// A task that waits for a disk is in uninterruptible sleep for moments; one that is so at each of these looks waits for something
/// that is away.
const LOOKS: usize = 5;
/// From one look to the next.
const BETWEEN: Duration = Duration::from_millis(20);
/// Threads of a pod that are looked at; more are believed to be as these.
const MOST_TASKS: usize = 20_000;

/// One container's processes, by their PIDs on the node.
#[derive(Debug)]
pub(super) struct Processes {
    pub(super) container: String,
    pub(super) pids: BTreeSet<i32>,
}

/// Finds them. Blocks the thread, for [`LOOKS`] times [`BETWEEN`] if a task seems to be blocked.
pub(super) fn find(proc: &Path, containers: &[Processes]) -> Vec<Finding> {
    let (mut findings, mut blocked) = (Vec::new(), Vec::new());
    let mut left = MOST_TASKS;
    for of in containers {
        for pid in &of.pids {
            let Ok(tasks) = fs::read_dir(proc.join(pid.to_string()).join("task")) else {
                // It has ended.
                continue;
            };
            for task in tasks.flatten().take(left) {
                left -= 1;
                let Some(status) = read(&task.path()) else {
                    continue;
                };
                if status.tracer != 0 {
                    findings.push(traced(proc, &of.container, &status));
                }
                if status.state == 'D' {
                    blocked.push((of.container.as_str(), task.path(), status));
                }
            }
        }
    }
    for _ in 1..LOOKS {
        if blocked.is_empty() {
            break;
        }
        thread::sleep(BETWEEN);
        blocked.retain(|(_, task, _)| read(task).is_some_and(|status| status.state == 'D'));
    }
    findings.extend(
        blocked
            .iter()
            .map(|(container, _, status)| is_blocked(container, status)),
    );
    findings
}

fn traced(proc: &Path, container: &str, status: &Status) -> Finding {
    let tracer = read(&proc.join(status.tracer.to_string())).map_or_else(String::new, |it| it.name);
    Finding {
        check: TRACED_TASKS.name,
        refuse: true,
        container: container.to_owned(),
        pid: Some(status.process),
        process: status.name.clone(),
        object: tracer.clone(),
        message: format!(
            "traced by {tracer} (pid {} of the node), and a task has one tracer only; end that one",
            status.tracer
        ),
    }
}

fn is_blocked(container: &str, status: &Status) -> Finding {
    Finding {
        check: BLOCKED_TASKS.name,
        refuse: true,
        container: container.to_owned(),
        pid: Some(status.process),
        process: status.name.clone(),
        object: "state D".to_owned(),
        message: "waits in the kernel, uninterruptibly (state D), so that it may not freeze in time; wait until what it waits for (a disk, a file \
                  server) answers"
            .to_owned(),
    }
}

/// What matters of a task.
#[derive(Debug, PartialEq, Eq)]
struct Status {
    name: String,
    state: char,
    /// PID of the node; 0 without.
    tracer: u32,
    /// The process, as inside its own PID namespace.
    process: u32,
}

/// `None` for a task that has ended.
fn read(task: &Path) -> Option<Status> {
    parse(&fs::read_to_string(task.join("status")).ok()?)
}

fn parse(text: &str) -> Option<Status> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let innermost = field("NStgid").and_then(|ids| ids.split_ascii_whitespace().last());
    Some(Status {
        name: field("Name")?.to_owned(),
        state: field("State")?.chars().next()?,
        tracer: field("TracerPid")?.parse().ok()?,
        process: innermost.or(field("Tgid"))?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tredis-server\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t4711\nNgid:\t0\nPid:\t4712\nPPid:\t1\n\
                          TracerPid:\t0\nNStgid:\t4711\t12\nNSpid:\t4712\t13\n";

    #[test]
    fn a_task_is_named_by_its_process_inside_the_pod() {
        let expected = Status {
            name: "redis-server".to_owned(),
            state: 'S',
            tracer: 0,
            process: 12,
        };
        assert_eq!(parse(STATUS), Some(expected));
        assert_eq!(parse("Name:\tx\n"), None);
    }

    /// A procfs of tasks `(pid, tid, status)`.
    fn proc(tasks: &[(i32, i32, String)]) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        for (pid, tid, status) in tasks {
            for directory in [
                proc.path().join(pid.to_string()),
                proc.path().join(format!("{pid}/task/{tid}")),
            ] {
                fs::create_dir_all(&directory).unwrap();
                fs::write(directory.join("status"), status).unwrap();
            }
        }
        proc
    }

    fn app(pids: &[i32]) -> [Processes; 1] {
        [Processes {
            container: "app".to_owned(),
            pids: pids.iter().copied().collect(),
        }]
    }

    #[test]
    fn what_sleeps_untraced_is_not_found_and_what_has_ended_is_passed_over() {
        let proc = proc(&[(10, 10, STATUS.to_owned())]);
        assert_eq!(find(proc.path(), &app(&[10, 11])), []);
    }

    #[test]
    fn a_traced_thread_is_found_with_its_tracer() {
        let traced = STATUS.replace("TracerPid:\t0", "TracerPid:\t99");
        let strace = STATUS.replace("redis-server", "strace");
        let proc = proc(&[(10, 10, STATUS.to_owned()), (10, 11, traced), (99, 99, strace)]);
        let found = find(proc.path(), &app(&[10]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].check, found[0].pid), ("TracedTasks", Some(12)));
        assert!(
            found[0].message.contains("strace (pid 99"),
            "{}",
            found[0].message
        );
    }

    #[test]
    fn a_task_that_stays_blocked_is_found() {
        let proc = proc(&[(10, 10, STATUS.replace("S (sleeping)", "D (disk sleep)"))]);
        let found = find(proc.path(), &app(&[10]));
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].check, found[0].container.as_str()),
            ("BlockedTasks", "app")
        );
    }

    #[test]
    fn a_task_of_this_process_can_be_read() {
        let own = read(Path::new("/proc/self")).unwrap();
        assert_eq!(own.process, std::process::id());
    }
}
