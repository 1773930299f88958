//! Runtime calls with real supervisors. Needs root. Without the test harness, because the supervisor is this very program and must have one thread.

#[cfg(not(test))]
fn main() {}

#[cfg(test)]
fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let path = |at: usize| std::path::PathBuf::from(&args[at]);
    match args.get(1).map(String::as_str) {
        Some("call") => std::process::ExitCode::from(godwit_container::call::supervise(&path(3))),
        Some("agent") => cases::be_an_agent(&path(2)),
        Some("--list") => std::process::ExitCode::SUCCESS,
        _ => cases::run_all(),
    }
}

#[cfg(test)]
mod cases {
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, ExitCode, Stdio};
    use std::time::{Duration, Instant};

    use godwit_container::call::{
        CallError, GROUP, Launcher, Outcome, RuntimeCall, reattach, stderr_tail, stdout_tail,
    };
    use godwit_container::cgroup::{Freezer, OwnGroup, Parent, State, Version, memberships};
    use godwit_container::host::Host;
    use nix::sys::signal::{SIGKILL, kill};
    use nix::unistd::Pid;

    const LONG: Duration = Duration::from_secs(20);

    type Case = fn(&Path);

    fn shell(script: &str) -> RuntimeCall {
        let mut call = RuntimeCall::new(["/bin/sh", "-c", script].map(str::to_owned).to_vec(), LONG);
        call.host = Host::own();
        call.group = Parent::Host;
        call
    }

    fn on_runtime<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
            .block_on(work)
    }

    fn run(call: &RuntimeCall, directory: &Path) -> Result<Outcome, CallError> {
        on_runtime(async { call.start(directory, &Launcher::default()).await?.wait().await })
    }

    fn until(what: &str, mut is: impl FnMut() -> bool) {
        let since = Instant::now();
        while !is() {
            assert!(since.elapsed() < LONG, "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn pid_in(path: &Path) -> i32 {
        let mut pid = None;
        until("a PID in a file", || {
            pid = std::fs::read_to_string(path)
                .ok()
                .and_then(|text| text.trim().parse().ok());
            pid.is_some()
        });
        pid.unwrap()
    }

    fn is_gone(pid: i32) -> bool {
        !Path::new(&format!("/proc/{pid}")).exists()
    }

    fn supervisor_of(directory: &Path) -> i32 {
        let path = directory.join("supervisor.json");
        until("the supervisor", || path.exists());
        let text = std::fs::read_to_string(path).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["process"]["pid"]
            .as_i64()
            .unwrap()
            .try_into()
            .unwrap()
    }

    /// A group with one busy process, as a container would be.
    struct Container {
        freezer: Freezer,
        process: Child,
        /// What the process writes to without pause.
        written: tempfile::NamedTempFile,
    }

    impl Container {
        fn new(name: &str) -> Option<Self> {
            let host = Host::own();
            let all = memberships(&host, host.pid).unwrap();
            let own = all.iter().find(|one| one.has("freezer"))?;
            let directory = own.directory.join(format!("gwt-call-{name}-{}", host.pid));
            std::fs::create_dir(&directory).unwrap();
            let written = tempfile::NamedTempFile::new().unwrap();
            let script = format!(
                "echo $$ > {}/cgroup.procs; while :; do echo x; done",
                directory.display()
            );
            let mut process = Command::new("/bin/sh");
            let process = process
                .args(["-c", &script])
                .stdout(written.reopen().unwrap())
                .spawn()
                .unwrap();
            let freezer = Freezer::at(Version::V1, &directory);
            until("the container", || !freezer.processes().unwrap().is_empty());
            Some(Self {
                freezer,
                process,
                written,
            })
        }
    }

    impl Drop for Container {
        fn drop(&mut self) {
            let _ = self.process.kill();
            let _ = self.freezer.thaw(LONG);
            let _ = self.process.wait();
            let _ = std::fs::remove_dir(self.freezer.directory());
        }
    }

    fn status_and_output_are_told(dir: &Path) {
        let mut call = shell("echo out $A $HOME; echo err >&2; exit 3");
        call.env.insert("A".into(), "b".into());
        let outcome = run(&call, dir).unwrap();
        assert_eq!(
            (outcome.exit, outcome.signal, outcome.timed_out, outcome.frozen),
            (Some(3), None, false, None)
        );
        assert_eq!(
            (stdout_tail(dir).as_str(), stderr_tail(dir).as_str()),
            ("out b\n", "err\n")
        );
        assert!(outcome.started_unix_us > 0 && outcome.ended_unix_us >= outcome.started_unix_us);
        let killed = run(&shell("kill -9 $$"), &dir.join("second")).unwrap();
        assert_eq!((killed.exit, killed.signal), (None, Some(9)));
    }

    fn a_call_runs_in_a_group_of_its_own(dir: &Path) {
        run(&shell("cat /proc/self/cgroup"), dir).unwrap();
        let text = stdout_tail(dir);
        assert!(!text.is_empty());
        assert!(
            text.lines().all(|line| line.ends_with(&format!("/{GROUP}"))),
            "{text}"
        );
    }

    /// A process in namespaces of its own, which stands for the host. It ends with the case.
    struct Elsewhere(Child);

    impl Drop for Elsewhere {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn a_call_runs_in_the_hosts_namespaces(dir: &Path) {
        // Not the cgroup namespace: what is mounted here shows more than a new one would hold.
        let kinds = ["mnt", "uts", "ipc"];
        let mut other = Command::new("unshare");
        other
            .args(["-m", "-u", "-i", "sleep", "1000"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let other = Elsewhere(other.spawn().unwrap());
        let pid = i32::try_from(other.0.id()).unwrap();
        let link = |who: &str, kind: &str| std::fs::read_link(format!("/proc/{who}/ns/{kind}")).unwrap();
        until("new namespaces", || {
            kinds
                .iter()
                .all(|kind| link(&pid.to_string(), kind) != link("self", kind))
        });
        let mut call = shell("cd /proc/self/ns; for n in mnt uts ipc; do readlink $n; done");
        call.env.insert("PATH".into(), "/bin:/usr/bin".into());
        call.host.pid = pid;
        assert!(run(&call, dir).unwrap().success());
        let wanted: Vec<PathBuf> = kinds.iter().map(|kind| link(&pid.to_string(), kind)).collect();
        let found: Vec<PathBuf> = stdout_tail(dir).lines().map(PathBuf::from).collect();
        assert_eq!(found, wanted);
    }

    fn at_the_deadline_the_whole_tree_ends(dir: &Path) {
        std::fs::create_dir_all(dir).unwrap();
        let pids = dir.join("pids");
        std::fs::create_dir(&pids).unwrap();
        let script = format!(
            "cd {}; trap '' TERM; (sleep 1000 & echo $! > a); setsid sh -c 'echo $$ > b; exec sleep 1000' & wait; sleep 1000",
            pids.display()
        );
        let mut call = shell(&script);
        call.env.insert("PATH".into(), "/bin:/usr/bin".into());
        call.deadline = Duration::from_millis(300);
        let outcome = run(&call, dir).unwrap();
        assert!(outcome.timed_out && !outcome.success());
        assert_eq!(outcome.signal, Some(9));
        for name in ["a", "b"] {
            assert!(is_gone(pid_in(&pids.join(name))), "{name} outlived the deadline");
        }
    }

    fn a_container_is_frozen_before_its_call_is_killed(dir: &Path) {
        let Some(container) = Container::new("thaw") else {
            return;
        };
        // As CRIU does, which thaws what it dumps; but this one never stops.
        let state = container.freezer.directory().join("freezer.state");
        let mut call = shell(&format!("while :; do echo THAWED > {}; done", state.display()));
        call.deadline = Duration::from_millis(200);
        call.freeze_first = Some(container.freezer.clone());
        let outcome = run(&call, dir).unwrap();
        assert_eq!((outcome.timed_out, outcome.frozen), (true, Some(true)));
        assert_eq!(container.freezer.state().unwrap(), State::Frozen);
    }

    fn a_container_held_by_ptrace_stays_frozen(dir: &Path) {
        let Some(mut container) = Container::new("trace") else {
            return;
        };
        let pid = container.process.id();
        // A tracer that holds the container's process stopped, as CRIU does, and is killed at the deadline.
        let mut call = RuntimeCall::new(
            vec![
                std::env::current_exe().unwrap().display().to_string(),
                "agent".into(),
                "trace".into(),
                pid.to_string(),
                container.written.path().display().to_string(),
            ],
            Duration::from_millis(300),
        );
        call.host = Host::own();
        call.group = Parent::Host;
        call.freeze_first = Some(container.freezer.clone());
        let outcome = run(&call, dir).unwrap();
        let written = std::fs::metadata(container.written.path()).unwrap().len();
        assert_eq!(
            stdout_tail(dir),
            format!("{written}\n"),
            "it ran after its tracer: {}",
            stderr_tail(dir)
        );
        assert_eq!((outcome.timed_out, outcome.frozen), (true, Some(true)));
        assert_eq!(container.freezer.state().unwrap(), State::Frozen);
        assert!(
            container.process.try_wait().unwrap().is_none(),
            "the traced process died with its tracer"
        );
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(status.contains("TracerPid:\t0\n"), "{status}");
    }

    fn a_call_outlives_the_agent_that_made_it(dir: &Path) {
        let mut agent = Command::new("/proc/self/exe")
            .arg("agent")
            .arg(dir)
            .spawn()
            .unwrap();
        let supervisor = supervisor_of(dir);
        until("the program", || stdout_tail(dir) == "begun\n");
        agent.kill().unwrap();
        agent.wait().unwrap();
        assert!(!dir.join("result.json").exists() && !is_gone(supervisor));
        let outcome = on_runtime(async {
            let call = reattach(dir).unwrap().unwrap();
            assert_eq!(call.outcome().unwrap(), None);
            std::fs::write(dir.join("go"), "").unwrap();
            call.wait().await.unwrap()
        });
        assert!(outcome.success());
        assert_eq!(stdout_tail(dir), "begun\ndone\n");
        // And once more, when all is over.
        assert_eq!(
            on_runtime(async { reattach(dir).unwrap().unwrap().wait().await }).unwrap(),
            outcome
        );
        assert!(reattach(&dir.join("nothing")).unwrap().is_none());
    }

    fn what_a_lost_supervisor_leaves_is_ended(dir: &Path) {
        let Some(container) = Container::new("lost") else {
            return;
        };
        let mut call = shell("echo $$ > $D/pid; exec sleep 1000");
        call.env.extend([
            ("D".into(), dir.display().to_string()),
            ("PATH".into(), "/bin:/usr/bin".into()),
        ]);
        call.freeze_first = Some(container.freezer.clone());
        let error = on_runtime(async {
            let running = call.start(dir, &Launcher::default()).await.unwrap();
            pid_in(&dir.join("pid"));
            kill(Pid::from_raw(supervisor_of(dir)), SIGKILL).unwrap();
            running.wait().await.unwrap_err()
        });
        assert!(matches!(error, CallError::Lost { frozen: true, .. }), "{error}");
        assert_eq!(container.freezer.state().unwrap(), State::Frozen);
        let pid = pid_in(&dir.join("pid"));
        until("the program's end", || is_gone(pid));
    }

    fn what_cannot_be_run_is_said(dir: &Path) {
        let mut call = shell("true");
        call.argv[0] = "/nonexistent/runc".into();
        let error = run(&call, dir).unwrap_err();
        assert_eq!(error.reason(), "CallNotStarted");
        assert!(error.to_string().contains("No such file"), "{error}");
        assert_eq!(run(&call, dir).unwrap_err().reason(), "CallInvalid");
        call.argv[0] = "runc".into();
        assert_eq!(
            run(&call, &dir.join("second")).unwrap_err().reason(),
            "CallInvalid"
        );
        let launcher = Launcher {
            program: "/bin/false".into(),
            args: vec![],
        };
        let third = dir.join("third");
        let error = on_runtime(async { shell("true").start(&third, &launcher).await }).unwrap_err();
        assert!(matches!(error, CallError::NotStarted { .. }), "{error}");
    }

    /// An agent for [`a_call_outlives_the_agent_that_made_it`], or a tracer.
    pub(super) fn be_an_agent(dir: &Path) -> ExitCode {
        if dir == Path::new("trace") {
            let pid = Pid::from_raw(std::env::args().nth(3).unwrap().parse().unwrap());
            nix::sys::ptrace::seize(pid, nix::sys::ptrace::Options::empty()).unwrap();
            nix::sys::ptrace::interrupt(pid).unwrap();
            nix::sys::wait::waitpid(pid, None).unwrap();
            println!(
                "{}",
                std::fs::metadata(std::env::args().nth(4).unwrap()).unwrap().len()
            );
            std::thread::sleep(Duration::from_secs(1000));
            return ExitCode::FAILURE;
        }
        let mut call = shell("echo begun; while [ ! -e $D/go ]; do sleep 0.01; done; echo done");
        call.env.extend([
            ("D".into(), dir.display().to_string()),
            ("PATH".into(), "/bin:/usr/bin".into()),
        ]);
        on_runtime(async {
            let running = call.start(dir, &Launcher::default()).await.unwrap();
            running.wait().await.unwrap();
        });
        ExitCode::FAILURE
    }

    pub(super) fn run_all() -> ExitCode {
        let all: [(&str, Case); 9] = [
            ("status_and_output_are_told", status_and_output_are_told),
            (
                "a_call_runs_in_a_group_of_its_own",
                a_call_runs_in_a_group_of_its_own,
            ),
            (
                "a_call_runs_in_the_hosts_namespaces",
                a_call_runs_in_the_hosts_namespaces,
            ),
            (
                "at_the_deadline_the_whole_tree_ends",
                at_the_deadline_the_whole_tree_ends,
            ),
            (
                "a_container_is_frozen_before_its_call_is_killed",
                a_container_is_frozen_before_its_call_is_killed,
            ),
            (
                "a_container_held_by_ptrace_stays_frozen",
                a_container_held_by_ptrace_stays_frozen,
            ),
            (
                "a_call_outlives_the_agent_that_made_it",
                a_call_outlives_the_agent_that_made_it,
            ),
            (
                "what_a_lost_supervisor_leaves_is_ended",
                what_a_lost_supervisor_leaves_is_ended,
            ),
            ("what_cannot_be_run_is_said", what_cannot_be_run_is_said),
        ];
        // Groups of this run's own: another run at the same time has calls too.
        let host = Host::own();
        let before: Vec<PathBuf> = memberships(&host, host.pid)
            .unwrap()
            .into_iter()
            .map(|one| one.directory)
            .collect();
        let scratch = OwnGroup::new(&host, Parent::Host, &format!("gwt-run-{}", host.pid)).unwrap();
        scratch.join(host.pid).unwrap();
        let filter = std::env::args()
            .nth(1)
            .filter(|word| !word.starts_with('-'))
            .unwrap_or_default();
        let (mut passed, mut failed) = (0, 0);
        for (name, case) in all.into_iter().filter(|(name, _)| name.contains(&filter)) {
            let dir = tempfile::tempdir().unwrap();
            let ok = std::panic::catch_unwind(|| case(&dir.path().join("call"))).is_ok();
            println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
            passed += usize::from(ok);
            failed += usize::from(!ok);
        }
        let group = OwnGroup::new(&Host::own(), Parent::Host, GROUP).unwrap();
        until("the group of calls to be empty", || {
            group.remove_if_empty().unwrap()
        });
        for directory in before {
            std::fs::write(directory.join("cgroup.procs"), std::process::id().to_string()).unwrap();
        }
        until("the group of this run to be empty", || {
            scratch.remove_if_empty().unwrap()
        });
        // As the usual harness says it, for whoever counts.
        let result = if failed == 0 { "ok" } else { "FAILED" };
        println!("test result: {result}. {passed} passed; {failed} failed");
        if failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
