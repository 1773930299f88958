//! What only a look at the running pod can tell.

use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, ensure};
use nix::sys::ptrace;
use nix::unistd::Pid;
use serde_json::json;

use crate::suite::failures::subject::Subject;
use crate::suite::refusals::refused;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a process that is traced is seen before anything is made, and the pod moves when it is not any more",
    |lab| Box::pin(run(lab)),
);

async fn run(lab: &Lab) -> Result<()> {
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    let found = lab.cluster().node("n1")?.pids_of("redis-server");
    ensure!(found.len() == 1, "more than one redis-server: {found:?}");
    let tracer = Tracer::of(found[0])?;
    let spec = json!({"podName": "subject", "target": {"nodeName": "n2"}});
    refused(
        lab,
        spec,
        "TracedTasks",
        &["container redis", "redis-server (pid 1)", "traced by"],
    )
    .await?;
    subject.untouched().await?;
    tracer.end()?;
    subject.moves().await?;
    subject.end().await
}

/// A thread that traces a process, as a debugger does: the kernel takes a thread for the tracer, not a process.
struct Tracer {
    end: mpsc::Sender<()>,
    thread: thread::JoinHandle<nix::Result<()>>,
}

impl Tracer {
    fn of(pid: i32) -> Result<Self> {
        let (end, ended) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            let pid = Pid::from_raw(pid);
            // It goes on running.
            tell.send(ptrace::seize(pid, ptrace::Options::empty())).ok();
            // An error means that nobody is there any more; the kernel detaches when the thread ends.
            ended.recv().ok();
            Ok(())
        });
        told.recv().context("the tracer")?.context("trace a process")?;
        Ok(Self { end, thread })
    }

    fn end(self) -> Result<()> {
        self.end.send(()).ok();
        let ended = self.thread.join();
        ended
            .map_err(|_| anyhow::anyhow!("the tracer failed"))?
            .context("detach")
    }
}
