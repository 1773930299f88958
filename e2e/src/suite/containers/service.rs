//! New connections through a Service while the only pod behind it moves.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, PostParams};
use serde_json::json;

use super::redis;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a client that opens a new connection through a Service every 10 ms is never refused while its only pod moves",
    |lab| Box::pin(run(lab)),
);

const PACE: Duration = Duration::from_millis(10);
/// No connection takes so long, unless it is lost.
const GIVES_UP: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct Seen {
    answered: u64,
    slowest: Duration,
    troubles: Vec<String>,
}

async fn run(lab: &Lab) -> Result<()> {
    let mut app = redis("app", 6379);
    app["readinessProbe"] = json!({"tcpSocket": {"port": 6379}, "periodSeconds": 1});
    let mut pod = lab
        .pod("subject", Some("n1"), json!({"containers": [app]}))
        .await?;
    let address = service(lab).await?;
    lab.from_node("n3", move || first(address)).await?;
    let (seen, stop) = (
        Arc::new(Mutex::new(Seen::default())),
        Arc::new(AtomicBool::new(false)),
    );
    let client = {
        let (lab, seen, stop) = (lab.clone(), Arc::clone(&seen), Arc::clone(&stop));
        tokio::spawn(async move {
            lab.from_node("n3", move || {
                knock(address, &seen, &stop);
                Ok(())
            })
            .await
        })
    };
    let moved = async {
        // Not to the client's own node: docs/limits.md says why.
        for node in ["n2", "n1", "n2"] {
            let spec = json!({"podName": pod.metadata.name, "target": {"nodeName": node}});
            let migration = lab.migrate_with(spec).await?;
            let done = migration.succeeded().await?;
            pod = lab
                .pods()
                .get(&crate::migration::Migration::target_name(&done)?)
                .await?;
            // What is left of the old endpoint shows itself.
            tokio::time::sleep(Duration::from_secs(3)).await;
            let freeze = done
                .status
                .and_then(|status| status.timings?.freeze)
                .map(|freeze| freeze.total);
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            println!(
                "        to {node}: {} connections, the slowest {} ms; freeze {freeze:?}",
                seen.answered,
                seen.slowest.as_millis()
            );
            ensure!(seen.troubles.is_empty(), "to {node}: {:?}", seen.troubles);
            ensure!(seen.answered > 100, "to {node}: the client came to nothing");
            *seen = Seen::default();
        }
        Ok(())
    }
    .await;
    stop.store(true, Ordering::Relaxed);
    client.await.context("the client")??;
    moved
}

/// A Service in front of the pod, by its label, which the target has too; gives its address once there is an endpoint.
async fn service(lab: &Lab) -> Result<SocketAddr> {
    let wanted = serde_json::from_value(json!({
        "metadata": {"name": "subject"},
        "spec": {"selector": {"app": "subject"}, "ports": [{"port": 6379}]},
    }))?;
    let made = lab
        .api::<Service>()
        .create(&PostParams::default(), &wanted)
        .await?;
    let slices = lab.api::<EndpointSlice>();
    lab.until(
        "an endpoint of the Service",
        Duration::from_secs(30),
        async || {
            let all = slices.list(&ListParams::default()).await?;
            let mut endpoints = all
                .items
                .iter()
                .flat_map(|slice| slice.endpoints.iter().flatten());
            let ready = endpoints.any(|it| it.conditions.as_ref().and_then(|it| it.ready) == Some(true));
            Ok(ready.then_some(()))
        },
    )
    .await?;
    let address = made
        .spec
        .and_then(|spec| spec.cluster_ip)
        .context("a Service without an address")?;
    Ok(format!("{address}:6379").parse()?)
}

/// Until the node knows of the Service.
fn first(address: SocketAddr) -> Result<()> {
    let end = Instant::now() + GIVES_UP * 2;
    loop {
        match ask(address) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > end => return Err(error),
            Err(_) => std::thread::sleep(PACE),
        }
    }
}

/// Opens connections one after the other, whether those before have been answered or not.
fn knock(address: SocketAddr, seen: &Arc<Mutex<Seen>>, stop: &AtomicBool) {
    let mut threads = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let seen = Arc::clone(seen);
        threads.push(std::thread::spawn(move || {
            let began = Instant::now();
            let asked = ask(address);
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match asked {
                Ok(()) => {
                    seen.answered += 1;
                    seen.slowest = seen.slowest.max(began.elapsed());
                }
                Err(error) => seen
                    .troubles
                    .push(format!("{error:#}, after {:?}", began.elapsed())),
            }
        }));
        threads.retain(|thread| !thread.is_finished());
        std::thread::sleep(PACE);
    }
    for thread in threads {
        // Its panic would be one of this file's own.
        let _ = thread.join();
    }
}

fn ask(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, GIVES_UP).context("connect")?;
    stream.set_read_timeout(Some(GIVES_UP))?;
    stream.write_all(b"PING\r\n").context("ask")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).context("hear")?;
    if answer != *b"+PONG\r\n" {
        bail!("the answer was {answer:?}");
    }
    Ok(())
}
