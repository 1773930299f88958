//! Files of all kinds in volumes arrive as they were.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::suite::moves::fine;
use crate::suite::{Behaviour, Lab, workload_container};
use crate::traffic::ask;

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "files of a volume move with owners, modes, times, attributes, links and holes, and the volume with its own",
    |lab| Box::pin(run(lab)),
);

async fn run(lab: &Lab) -> Result<()> {
    for medium in ["", "Memory"] {
        let name = format!("tree{}", medium.to_lowercase());
        let mut container = workload_container("main", &["files", "7000", "/srv/tree"]);
        container["volumeMounts"] = json!([{"name": "tree", "mountPath": "/srv"}]);
        let volume: Value = json!({"name": "tree", "emptyDir": {"medium": medium}});
        let spec = json!({"containers": [container], "volumes": [volume]});
        let pod = lab.pod(&name, Some("n1"), spec).await?;
        fine(lab, &pod).await?;
        let before = ask(lab, &pod, 7000, "list").await?;
        for part in ["sparse=true", "links=3(group 0)", "1234:4321"] {
            ensure!(before.contains(part), "the list lacks {part}: {before}");
        }
        let pod = lab.moved(&name, "n2").await?;
        let after = ask(lab, &pod, 7000, "list").await?;
        let missing: Vec<&str> = before.split('\t').filter(|line| !after.contains(line)).collect();
        ensure!(
            before == after,
            "not as it was ({medium:?}): {missing:#?}\nnow: {after}"
        );
        fine(lab, &pod).await?;
    }
    Ok(())
}
