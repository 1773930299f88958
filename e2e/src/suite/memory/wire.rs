//! Zero pages and repetitions are not sent.

use anyhow::{Result, ensure};
use serde_json::json;

use super::usually;
use super::writer::Writer;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "of memory that is a third zeros and a third repetitions, less than 45 percent is sent",
    |lab| Box::pin(run(lab)),
);

async fn run(lab: &Lab) -> Result<()> {
    let size = usually(512, 1024);
    let thirds = format!("thirds={size}M");
    let mut writer = Writer::start(lab, "n1", &["memory=1M", "rate=0", "threads=1", &thirds]).await?;
    // All of it is there: zeros were written.
    let pages = writer.verify().await?;
    ensure!(pages >= u64::from(size) * 256, "{pages} pages");
    let status = writer.moves(json!({"memory": "PreCopy"})).await?;
    let sent = status.source.map_or(0, |source| source.bytes_sent);
    let permille = sent * 1000 / (i64::from(size) << 20);
    println!("        {sent} bytes of {size} MiB: {permille} per mille");
    ensure!(
        permille > 300,
        "the random third alone is more than that: {sent} bytes"
    );
    ensure!(permille <= 450, "{sent} bytes were sent for {size} MiB");
    Ok(())
}
