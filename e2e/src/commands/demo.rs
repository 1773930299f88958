use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use godwit_crds::{FreezeTimings, MigrationPhase, PodMigration};
use godwit_e2e::images::product::Faults;
use godwit_e2e::migration::{Migration, PATIENCE, told};
use godwit_e2e::suite::{Lab, address_of};
use godwit_e2e::traffic::{Connection, Load, Redis};
use godwit_e2e::{Cluster, install};
use serde_json::json;

/// How much data the Redis of the demo holds, in MiB.
const DATA: u32 = 64;

/// Show a migration there and back: cluster, chart, a live Redis with a client, and a report
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Take the Godwit that is installed
    #[arg(long)]
    no_install: bool,
}

/// What one move was.
struct Move {
    from: &'static str,
    to: &'static str,
    migration: PodMigration,
    seen: Connection,
}

impl Demo {
    pub(super) fn run(self) -> Result<ExitCode> {
        println!(
            "1. A Kubernetes cluster of three nodes (the first time, it is built: this takes some minutes)"
        );
        let cluster = Cluster::ensure(3)?;
        install::test_images(&cluster)?;
        if !self.no_install {
            println!("2. Godwit, built from this source and installed by its Helm chart");
            install::everything(&cluster, Faults::Absent)?;
        }
        tokio::runtime::Runtime::new()?.block_on(show(cluster))
    }
}

async fn show(cluster: Cluster) -> Result<ExitCode> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let namespace = format!("demo-{:x}", now.as_secs());
    let lab = Lab::open(cluster, &namespace).await?;
    let result = moves(&lab).await;
    println!("\nremoving namespace {namespace}");
    lab.clear().await?;
    let closed = lab.close().await;
    let moves = result?;
    closed?;
    let whole = report(&moves);
    println!(
        "\nThe cluster is still up. Try it yourself:\n  \
         cargo e2e kubectl get pods -A -o wide\n  \
         cargo e2e kubectl explain podmigration.spec\n\
         and take it all away with:\n  \
         cargo e2e down"
    );
    Ok(if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn moves(lab: &Lab) -> Result<Vec<Move>> {
    println!("3. Redis with {DATA} MiB of data on n1, and a client on n3 with one TCP connection doing INCR");
    let redis = lab.redis("redis", "n1").await?;
    let data = Redis::fill(lab, &redis, DATA).await?;
    let sum = data.sum(lab, &redis).await?;
    let targets = [("client".to_owned(), format!("{}:6379", address_of(&redis)?))];
    let load = Load::start(lab, "client", "n3", &targets).await?;
    let mut done = Vec::new();
    let mut name = "redis".to_owned();
    for (number, (from, to)) in [("n1", "n2"), ("n2", "n1")].into_iter().enumerate() {
        println!(
            "\n{}. Move it from {from} to {to}: kubectl apply -f - <<END",
            number + 4
        );
        println!(
            "apiVersion: godwit.dev/v1alpha1\nkind: PodMigration\nmetadata: {{generateName: move-, namespace: {}}}\n\
             spec:\n  podName: {name}\n  target: {{nodeName: {to}}}\nEND",
            lab.namespace()
        );
        load.reset(lab).await?;
        let asked = lab
            .migrate_with(json!({"podName": name, "target": {"nodeName": to}}))
            .await?;
        let migration = followed(&asked).await?;
        load.progress(lab).await?;
        name = Migration::target_name(&migration)?;
        let seen = load
            .report(lab)
            .await?
            .into_iter()
            .next()
            .context("the client has no connection")?;
        done.push(Move {
            from,
            to,
            migration,
            seen,
        });
    }
    load.stop(lab).await?;
    let pod = lab.pods().get(&name).await?;
    anyhow::ensure!(data.sum(lab, &pod).await? == sum, "the data is not what it was");
    Ok(done)
}

/// Say each phase as it comes, until the last.
async fn followed(migration: &Migration) -> Result<PodMigration> {
    let began = std::time::Instant::now();
    let mut shown: Option<MigrationPhase> = None;
    let bar = indicatif::ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(100));
    while began.elapsed() < PATIENCE {
        let now = migration.get().await?;
        let status = now.status.clone().unwrap_or_default();
        if shown != Some(status.phase) {
            shown = Some(status.phase);
            let seconds = began.elapsed().as_secs_f64();
            bar.suspend(|| println!("   {seconds:6.2} s  {:?}", status.phase));
            bar.set_message(format!("{:?}", status.phase));
        }
        if status.phase == MigrationPhase::Succeeded {
            bar.finish_and_clear();
            return Ok(now);
        }
        anyhow::ensure!(
            !status.phase.is_final(),
            "the migration failed: {}",
            told(&status)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bar.finish_and_clear();
    anyhow::bail!(
        "the migration is not over after {} s: {}",
        PATIENCE.as_secs(),
        told(&migration.status().await?)
    )
}

/// Print what happened; true if the client noticed nothing but a pause.
fn report(moves: &[Move]) -> bool {
    println!("\nReport");
    let Some(last) = moves.last() else { return false };
    let seen = &last.seen;
    println!("  INCRs answered             {}", seen.answers);
    println!("  client's reconnects        {}", seen.reconnects);
    println!("  lost or repeated INCRs     {}", seen.lost + seen.repeated);
    println!("  checksum of the {DATA} MiB     equal");
    for one in moves {
        let status = one.migration.status.clone().unwrap_or_default();
        let source = status.source;
        let freeze = source
            .as_ref()
            .and_then(|source| source.freeze.clone())
            .unwrap_or_default();
        let FreezeTimings {
            pause,
            dump,
            send,
            restore,
            commit,
            total,
        } = freeze;
        println!("  {} -> {}", one.from, one.to);
        println!(
            "    largest client gap       {}.{} ms",
            one.seen.longest_us / 1000,
            one.seen.longest_us % 1000 / 100
        );
        println!("    freeze                   {total}");
        println!("      pause {pause}, dump {dump}, send {send}, restore {restore}, commit {commit}");
        let bytes = source.map_or(0, |source| source.bytes_sent);
        println!("    bytes sent               {bytes} ({} MiB)", bytes >> 20);
    }
    seen.is_whole()
        .inspect_err(|error| println!("  {error:#}"))
        .is_ok()
}
