//! runc by hand: pause, checkpoint, restore, all in memory on one node, while the program stands still.

use anyhow::{Context, Result};
use serde_json::json;

use super::cell::{Cell, Program};
use super::godwit::{Place, milliseconds};
use super::load::Load;
use super::report::Report;
use super::ways::{Figures, Way};
use crate::bench::floor::{self, Floor};
use crate::bench::moved;

/// Moves the cell's program `runs` times.
pub(super) fn measure(place: Place<'_>, cell: Cell, runs: u32, report: &mut Report) -> Result<()> {
    let node = place.cluster.nodes().nth(2).context("three nodes are needed")?;
    // A pod of that kind with next to no memory, as a pattern of what containerd makes.
    let mut container = Cell {
        mebibytes: 1,
        rate: 0,
        ..cell
    }
    .container();
    container["resources"] = cell.container()["resources"].clone();
    let pod = moved::pod(
        place.runtime,
        place.api,
        "godwit-bench-floor",
        node.name(),
        &container,
    )?;
    let statuses = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    let id = statuses
        .and_then(|all| all.first())
        .and_then(|one| one.container_id.as_deref())
        .and_then(|id| id.rsplit_once('/'))
        .map(|(_, id)| id)
        .context("the pod has no container")?;
    let mut config = floor::oci_config(node, id)?;
    let command = cell.command();
    if !command.is_empty() {
        config["process"]["args"] = json!(command);
    }
    let mut floor = Floor::of_image(node, config, cell.image(), cell.fill())?;
    let load = match cell.program {
        Program::Redis if cell.rate > 0 => Some(Load::start(floor.connect()?, cell)),
        _ => None,
    };
    for _ in 0..runs {
        let run = floor.run()?;
        let figures = Figures {
            freeze_ms: Some(milliseconds(run.answered_us)),
            gap_ms: Some(milliseconds(run.gap_us)),
            total_ms: Some(milliseconds(run.returned_us)),
            ..Figures::default()
        };
        eprintln!(
            "    {}: {}",
            Way::Floor.name(),
            report.add(cell, Way::Floor, figures)
        );
    }
    drop(load);
    Ok(())
}
