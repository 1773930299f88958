//! The benchmark: Godwit's migrations and the floor side by side, A B A B …, because absolute times drift and only
//! ratios of the same minutes count.

pub mod client;
pub mod criu_stats;
pub mod figures;
pub mod floor;
pub mod look;
pub mod memory;
pub mod moved;
pub mod trace;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use kube::ResourceExt as _;

use crate::Cluster;
use figures::Table;
use floor::{Floor, FloorRun};
use moved::{Moved, MovedRun};

/// Moves before the first that counts: the memory of a virtual machine is several times slower when it is first touched.
const WARM_UP: u32 = 2;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many runs of each kind count.
    pub runs: u32,
    /// Data of the Redis, in MiB.
    pub mebibytes: u32,
    /// Leave out Godwit: only the floor.
    pub floor_only: bool,
    /// A folder for what the relay and CRIU wrote in each run.
    pub keep: Option<PathBuf>,
}

/// Measures; gives the table. Everything that it makes is removed, whether it succeeds or not.
pub fn run(settings: &Settings) -> Result<Table> {
    let cluster = Cluster::running()?;
    let nodes: Vec<String> = cluster.nodes().map(|node| node.name().to_owned()).collect();
    ensure!(
        nodes.len() >= 3,
        "three nodes are needed: two for the pod, one for the client"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let api = runtime.block_on(cluster.client())?;
    moved::clear(&runtime, &api)?;
    let measured = measure(settings, &cluster, &nodes, &runtime, &api);
    let cleared = moved::clear(&runtime, &api);
    let table = measured?;
    cleared?;
    Ok(table)
}

fn measure(
    settings: &Settings,
    cluster: &Cluster,
    nodes: &[String],
    runtime: &tokio::runtime::Runtime,
    api: &kube::Client,
) -> Result<Table> {
    let third = cluster.node(&nodes[2])?;
    eprintln!(
        "the floor: Redis with {} MiB on {}",
        settings.mebibytes,
        third.name()
    );
    let pattern = moved::redis_pod(runtime, api, "godwit-bench-floor", third.name())?;
    let statuses = pattern
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    let id = statuses
        .and_then(|all| all.first())
        .and_then(|one| one.container_id.as_deref());
    let id = id.and_then(|id| id.rsplit_once('/')).map(|(_, id)| id);
    let id = id.with_context(|| format!("the pod {} has no container", pattern.name_any()))?;
    let mut floor = Floor::start(third, floor::oci_config(third, id)?, settings.mebibytes)?;
    let mut moved = None;
    if !settings.floor_only {
        eprintln!(
            "Godwit: Redis with {} MiB on {}, client on {}",
            settings.mebibytes,
            nodes[0],
            third.name()
        );
        moved = Some(Moved::start(
            cluster,
            runtime,
            api,
            (&nodes[0], third),
            settings.mebibytes,
        )?);
    }
    let mut table = Table::default();
    for number in 0..WARM_UP + settings.runs {
        let to = usize::from(number % 2 == 0);
        let pair = (|| {
            let of_godwit = moved.as_mut().map(|moved| moved.run(&nodes[to])).transpose()?;
            Ok::<_, anyhow::Error>((of_godwit, floor.run()?))
        })();
        let (of_godwit, of_floor) = pair.inspect_err(|_| {
            eprintln!("what was measured until it failed:\n\n{}", table.markdown());
        })?;
        let counts = number >= WARM_UP;
        eprintln!(
            "{}",
            line(number, counts, settings.runs, of_godwit.as_ref(), &of_floor)
        );
        if let (Some(run), Some(dir)) = (&of_godwit, &settings.keep) {
            let dir = dir.join(number.to_string());
            keep(run, &dir)?;
            floor.keep(&dir)?;
        }
        if counts {
            enter(&mut table, of_godwit.as_ref(), &of_floor);
        }
    }
    Ok(table)
}

fn line(number: u32, counts: bool, runs: u32, moved: Option<&MovedRun>, floor: &FloorRun) -> String {
    let name = if counts {
        format!("{}/{runs}", number + 1 - WARM_UP)
    } else {
        "warm-up".to_owned()
    };
    let moved = moved.map_or_else(String::new, |run| {
        let parts: Vec<String> = run
            .parts
            .iter()
            .map(|(name, us)| format!("{name} {}", ms(*us)))
            .collect();
        format!(
            "gap {} freeze {} ({})  ",
            ms(run.gap_us),
            ms(run.freeze_us),
            parts.join(" ")
        )
    });
    format!(
        "{name:>8}  {moved}floor {} (pause {} checkpoint {} restore {}; returned {})",
        ms(floor.answered_us),
        ms(floor.pause_us),
        ms(floor.checkpoint_us),
        ms(floor.restore_us),
        ms(floor.returned_us)
    )
}

fn ms(us: u64) -> String {
    format!("{}.{}", us / 1000, us / 100 % 10)
}

fn enter(table: &mut Table, moved: Option<&MovedRun>, floor: &FloorRun) {
    if let Some(run) = moved {
        table.add_us("client gap, ms", run.gap_us);
        table.add_us("freeze, ms", run.freeze_us);
        for (name, us) in &run.parts {
            table.add_us(&format!("– {name}"), *us);
        }
        // Not CRIU's own frozen_time: in a lazy dump CRIU never ends that clock.
        if let Some(us) = run.traced.in_dump_us() {
            table.add_us("– in CRIU: dump, from its gate to its end", us);
        }
        if let Some(restore) = run.traced.restore {
            table.add_us("– in CRIU: restore", u64::from(restore.restore_us));
        }
        table.add_us("whole migration, ms", run.whole_us);
    }
    table.add_us("floor to the first answer, ms", floor.answered_us);
    table.add_us("floor to the end of `runc restore`, ms", floor.returned_us);
    table.add_us("– `runc pause`", floor.pause_us);
    table.add_us("– `runc checkpoint`", floor.checkpoint_us);
    table.add_us("– `runc restore`", floor.restore_us);
    table.add_us(
        "– floor in CRIU: dump, tasks stand still",
        u64::from(floor.dump.frozen_us),
    );
    table.add_us("– floor in CRIU: restore", u64::from(floor.restore.restore_us));
    table.add_us("floor: client gap, ms", floor.gap_us);
    if let Some(run) = moved {
        table.add(
            "freeze ÷ floor to the first answer",
            2,
            ratio(run.freeze_us, floor.answered_us),
        );
        table.add(
            "freeze ÷ floor to the end of `runc restore`",
            2,
            ratio(run.freeze_us, floor.returned_us),
        );
        table.add("client gap ÷ freeze", 2, ratio(run.gap_us, run.freeze_us));
    }
}

#[expect(clippy::cast_precision_loss, reason = "durations of seconds")]
fn ratio(above: u64, below: u64) -> f64 {
    above as f64 / below as f64
}

/// Writes what was traced, one file for each.
fn keep(run: &MovedRun, dir: &std::path::Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    for (path, bytes) in &run.traced.files {
        let side = if path.contains("/records/") || path.contains("restore") {
            "target"
        } else {
            "source"
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        std::fs::write(dir.join(format!("{side}-{name}")), bytes)?;
    }
    Ok(())
}
