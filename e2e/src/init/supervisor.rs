//! Starts services, starts them again when they end, and collects every orphan of the namespace.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::Service;

/// A service that ran for less than this is broken: it is started again only after as long.
const BROKEN: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(20);

struct Running {
    service: Service,
    started: Instant,
}

/// The services of one namespace.
pub(super) struct Supervisor {
    name: String,
    logs: HashMap<String, File>,
    running: HashMap<i32, Running>,
    broken: Vec<(Instant, Service)>,
}

impl Supervisor {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            logs: HashMap::new(),
            running: HashMap::new(),
            broken: Vec::new(),
        }
    }

    /// Open the log of a service; all its runs append to it.
    pub(super) fn open_log(&mut self, service: &Service, dir: &Path) -> Result<()> {
        let path = dir.join(format!("{}-{}.log", self.name, service.name));
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        self.logs.insert(service.name.clone(), file);
        Ok(())
    }

    /// Start a service. Fails if its program cannot be run at all.
    pub(super) fn start(&mut self, service: &Service) -> Result<()> {
        let (program, arguments) = service
            .command
            .split_first()
            .context("a service without a program")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).process_group(0);
        environment(&mut command);
        if let Some(log) = self.logs.get(&service.name) {
            command.stdout(log.try_clone()?).stderr(log.try_clone()?);
        }
        let child = command.spawn().with_context(|| format!("start {program}"))?;
        let running = Running {
            service: service.clone(),
            started: Instant::now(),
        };
        self.running.insert(i32::try_from(child.id())?, running);
        Ok(())
    }

    /// Run a program to its end while services are looked after; says whether it succeeded.
    pub(super) fn run_once(&mut self, command: &mut Command) -> Result<bool> {
        environment(command);
        let child = command.spawn().context("start a program")?;
        let wanted = i32::try_from(child.id())?;
        loop {
            for (pid, success) in self.collect(Some(WaitPidFlag::WNOHANG))? {
                if pid == wanted {
                    return Ok(success);
                }
            }
            self.restart()?;
            std::thread::sleep(TICK);
        }
    }

    /// Look after services until `done`; fails after `patience` and names `what` was waited for.
    pub(super) fn wait_until(
        &mut self,
        patience: Duration,
        what: &str,
        done: impl Fn() -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + patience;
        while !done() {
            if Instant::now() > deadline {
                bail!("waited for {what} for {patience:?}");
            }
            self.collect(Some(WaitPidFlag::WNOHANG))?;
            self.restart()?;
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    /// Sleep.
    #[expect(
        clippy::unused_self,
        reason = "reads as what it is: a pause of the supervisor"
    )]
    pub(super) fn pause(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Look after services for ever.
    pub(super) fn run_for_ever(&mut self) -> Result<()> {
        loop {
            // With a broken service waiting, only look: its time comes.
            let flag = (!self.broken.is_empty()).then_some(WaitPidFlag::WNOHANG);
            self.collect(flag)?;
            self.restart()?;
            if flag.is_some() {
                std::thread::sleep(TICK);
            }
        }
    }

    /// Collect what has ended. Without a flag, wait for the next one to end.
    fn collect(&mut self, flag: Option<WaitPidFlag>) -> Result<Vec<(i32, bool)>> {
        let mut ended = Vec::new();
        let mut flag = flag;
        loop {
            let (pid, success) = match waitpid(None, flag) {
                Ok(WaitStatus::Exited(pid, code)) => (pid.as_raw(), code == 0),
                Ok(WaitStatus::Signaled(pid, _, _)) => (pid.as_raw(), false),
                Ok(WaitStatus::StillAlive) => return Ok(ended),
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(Errno::ECHILD) => {
                    std::thread::sleep(TICK);
                    return Ok(ended);
                }
                Err(errno) => return Err(errno).context("wait for children"),
            };
            ended.push((pid, success));
            if let Some(Running { service, started }) = self.running.remove(&pid) {
                let due = if started.elapsed() < BROKEN {
                    Instant::now() + BROKEN
                } else {
                    Instant::now()
                };
                self.broken.push((due, service));
            }
            flag = Some(WaitPidFlag::WNOHANG);
        }
    }

    fn restart(&mut self) -> Result<()> {
        let now = Instant::now();
        let (due, later): (Vec<_>, Vec<_>) = self.broken.drain(..).partition(|(when, _)| *when <= now);
        self.broken = later;
        for (_, service) in due {
            self.start(&service)?;
        }
        Ok(())
    }
}

fn environment(command: &mut Command) {
    command
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("HOME", "/root")
        .current_dir("/");
}
