//! PostgreSQL moves to and fro while rows are committed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use crate::images::postgres::{IMAGE, USER};
use crate::suite::failures::subject::{gone, other};
use crate::suite::inside::exec;
use crate::suite::{Behaviour, Lab, node_of};
use crate::traffic::Rows;

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "postgresql moves to and fro with its connections, and each row whose commit was acknowledged is there once",
    |lab| Box::pin(run(lab)),
)
.within(Duration::from_mins(5));

const MOVES: u32 = 5;
const CONNECTIONS: u32 = 4;

async fn run(lab: &Lab) -> Result<()> {
    let spec = json!({
        "securityContext": {"runAsUser": USER, "runAsGroup": USER, "fsGroup": USER},
        "containers": [{
            "name": "postgres", "image": IMAGE, "imagePullPolicy": "Never",
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        }],
        "volumes": [{"name": "data", "emptyDir": {}}],
    });
    let mut pod = lab.pod("postgres", Some("n1"), spec).await?;
    let rows = Rows::start(lab, "n3", &pod, CONNECTIONS).await?;
    has_what_is_to_move(lab, &pod).await?;
    let backends = backends(lab, &rows).await?;
    let began = Instant::now();
    for number in 1..=MOVES {
        let to = other(node_of(&pod)?, 1);
        let target = lab
            .moved(&pod.name_any(), &to)
            .await
            .with_context(|| format!("move {number}"))?;
        gone(lab, &pod.name_any()).await?;
        pod = target;
        let after = || format!("after move {number}");
        rows.progress(lab).await.with_context(after)?;
        rows.check(lab, &pod).await.with_context(after)?;
    }
    let seconds = began.elapsed().as_secs();
    ensure!(
        backends == self::backends(lab, &rows).await?,
        "connections were made anew"
    );
    let writers = rows.stop(lab).await?;
    let longest = writers.iter().map(|one| one.longest_us / 1000).max();
    println!(
        "        {MOVES} moves in {seconds} s, {}, the longest row took {} ms",
        rows.check(lab, &pod).await?,
        longest.unwrap_or_default()
    );
    the_socket_lived(lab, &pod).await?;
    // What it finds on disk must do for it as well: it is killed without a chance to write, and kubelet starts it anew.
    exec(
        lab,
        &pod.name_any(),
        &[
            "pg_ctl",
            "--pgdata=/data/db",
            "--mode=immediate",
            "--no-wait",
            "stop",
        ],
    )
    .await?;
    lab.until("rows after a crash", Duration::from_mins(1), async || {
        Ok(rows.check(lab, &pod).await.ok())
    })
    .await?;
    Ok(())
}

async fn backends(lab: &Lab, rows: &Rows) -> Result<Vec<u32>> {
    let writers = rows.report(lab).await?;
    Ok(writers.iter().map(|one| one.backend).collect())
}

/// Fails if what makes this program worth moving is not there: processes, SysV and POSIX shared memory.
async fn has_what_is_to_move(lab: &Lab, pod: &Pod) -> Result<()> {
    let script =
        "ls /dev/shm/PostgreSQL.* && tail -n +2 /proc/sysvipc/shm | grep . && ps | grep -c '[p]ostgres: '";
    let found = exec(lab, &pod.name_any(), &["sh", "-c", script]).await?;
    let processes: u32 = found
        .trim()
        .lines()
        .last()
        .and_then(|line| line.parse().ok())
        .context("no number of processes")?;
    ensure!(processes > 2 * CONNECTIONS, "{processes} processes");
    Ok(())
}

/// Fails unless the client of the unix socket has had one process of the server all the time.
async fn the_socket_lived(lab: &Lab, pod: &Pod) -> Result<()> {
    let statement = "select count(*) = max(number) and count(*) > 50, count(distinct backend) from beats";
    let found = exec(lab, &pod.name_any(), &["psql", "-Atc", statement]).await?;
    ensure!(found.trim() == "t|1", "the socket's client: {found}");
    Ok(())
}
