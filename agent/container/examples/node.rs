//! Tries this crate by hand on a node, as root:
//! `node discover POD_UID` shows what is found of a pod;
//! `node checkpoint POD_UID CONTAINER CRIU_DIR DIRECTORY DEADLINE_MS` freezes, dumps into DIRECTORY (on the host) and thaws;
//! `node info CONTAINER_ID` shows the runtime's own account.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use godwit_container::call::{Launcher, stderr_tail, supervise};
use godwit_container::cgroup::{Freezer, OwnGroup, Parent};
use godwit_container::checkpoint::{Checkpoint, find_runc, search_path};
use godwit_container::cri::Cri;
use godwit_container::discover::{discover, parking};
use godwit_container::host::Host;
use godwit_container::images::{blank_sysv, log::decisive_line};

type Anything = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        // The supervisor of a call: before any thread is started.
        ["call", "--dir", directory] => return ExitCode::from(supervise(Path::new(directory))),
        ["discover", uid] => run(show(uid)),
        ["info", id] => run(info(id)),
        ["checkpoint", uid, container, criu, directory, deadline] => {
            run(dump(uid, container, criu, directory, deadline))
        }
        _ => Err("see the beginning of this file for its use".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}: {:?}", error.source());
            ExitCode::FAILURE
        }
    }
}

fn run(work: impl Future<Output = Anything>) -> Anything {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

async fn show(uid: &str) -> Anything {
    let host = Host::default();
    let cri = Cri::probe(&host).await?;
    let mut out = std::io::stdout();
    writeln!(out, "{:?}", cri.version().await?)?;
    let pod = discover(&cri, &host, uid).await?;
    for container in &pod.containers {
        let freezer = Freezer::of_pid(&host, container.pid)?;
        writeln!(
            out,
            "{} {:?} {:?}",
            container.name,
            freezer.state()?,
            freezer.processes()?
        )?;
    }
    writeln!(out, "{pod:#?}\n{:#?}", parking(&cri, uid).await?)?;
    Ok(())
}

async fn info(id: &str) -> Anything {
    let cri = Cri::probe(&Host::default()).await?;
    let answer = cri.container_status(id).await?;
    writeln!(std::io::stdout(), "{}", answer.info.get("info").ok_or("none")?)?;
    Ok(())
}

async fn dump(uid: &str, name: &str, criu: &str, directory: &str, deadline: &str) -> Anything {
    let host = Host::default();
    let cri = Cri::probe(&host).await?;
    let pod = discover(&cri, &host, uid).await?;
    let container = pod
        .containers
        .iter()
        .find(|one| one.name == name)
        .ok_or("no such container")?;
    let freezer = Freezer::of_pid(&host, container.pid)?;
    let path = search_path(&host, cri.socket()).await;
    let runc = find_runc(&host, &path, container.runtime_binary.as_deref())?;
    let directory = PathBuf::from(directory);
    let (images, work, call) = (
        directory.join("images"),
        directory.join("work"),
        directory.join("call"),
    );
    for one in [&images, &work] {
        std::fs::create_dir_all(host.path(one))?;
    }
    let checkpoint = Checkpoint {
        runc: &runc,
        container,
        freezer: &freezer,
        image_dir: &images,
        work_dir: &work,
        gate_dir: &directory,
        gate_deadline_ms: 0,
        criu_dir: Path::new(criu),
        criu_config: &directory.join("criu.conf"),
        search_path: &path,
        lazy: false,
        deadline: Duration::from_millis(deadline.parse()?),
    };
    let begin = Instant::now();
    freezer.freeze(Duration::from_secs(5))?;
    let frozen = begin.elapsed();
    let running = checkpoint
        .call(&host)
        .start(&host.path(&call), &Launcher::default())
        .await;
    let started = begin.elapsed();
    let outcome = match running {
        Ok(running) => running.wait().await,
        Err(error) => Err(error),
    };
    let ended = begin.elapsed();
    let state = freezer.state()?;
    freezer.thaw(Duration::from_secs(5))?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "frozen {frozen:?}, call started {started:?}, ended {ended:?}, freezer then {state:?}"
    )?;
    writeln!(out, "{outcome:?}\n{}", stderr_tail(&host.path(&call)))?;
    writeln!(
        out,
        "decisive line: {:?}",
        decisive_line(&host.path(&work).join("dump.log"))
    )?;
    writeln!(out, "blanked: {:?}", blank_sysv(&host.path(&images))?)?;
    let group = OwnGroup::new(&host, Parent::Root, godwit_container::call::GROUP)?;
    writeln!(out, "group removed: {}", group.remove_if_empty()?)?;
    Ok(())
}
