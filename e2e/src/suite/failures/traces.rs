//! What a migration could leave on a node, as text that can be compared.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::suite::Lab;

/// Prints everything of Godwit's on a node that a migration makes and has to remove again, one a line.
const LOOK: &str = r"
find /run/godwit /var/lib/godwit/journal /var/lib/godwit/carry -mindepth 2 2>/dev/null
find /var/lib/godwit/journal /run/godwit/ids -mindepth 1 2>/dev/null
nft list tables | grep -i godwit
for pid in $(pgrep -x criu; pgrep -x godwit-runtime; pgrep -x godwit-pages); do echo running $(cat /proc/$pid/comm); done
for file in /proc/[0-9]*/ns/net; do stat -L -c '%i' $file 2>/dev/null; done | sort -u | while read inode; do
  for file in /proc/[0-9]*/ns/net; do
    if [ $(stat -L -c %i $file 2>/dev/null || echo 0) = $inode ]; then
      nsenter --net=$file nft list tables 2>/dev/null | grep -i godwit; break
    fi
  done
done
true
";

/// How long agents may go on tidying up after a migration is over.
const TIDY: Duration = Duration::from_secs(30);

/// What is there on every node, before anything was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traces(Vec<String>);

impl Traces {
    /// As it is now.
    pub async fn now(lab: &Lab) -> Result<Self> {
        let mut lines = Vec::new();
        let names: Vec<String> = lab.cluster().nodes().map(|node| node.name().to_owned()).collect();
        for name in names {
            let text = lab
                .on_node(&name, &["sh", "-c", LOOK], Duration::from_secs(30))
                .await?;
            lines.extend(text.lines().map(|line| format!("{name}: {line}")));
            lines.extend(frozen(lab, &name));
        }
        lines.sort();
        lines.dedup();
        Ok(Self(lines))
    }

    /// Waits until nothing is there that was not there before; fails with what is left.
    pub async fn no_more(&self, lab: &Lab) -> Result<()> {
        let end = std::time::Instant::now() + TIDY;
        loop {
            let now = Self::now(lab).await?;
            let left: Vec<&str> = now
                .0
                .iter()
                .filter(|line| !self.0.contains(line))
                .map(String::as_str)
                .collect();
            if left.is_empty() {
                return Ok(());
            }
            if std::time::Instant::now() > end {
                bail!("left behind: {}", left.join("; "));
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

/// Groups of the node that are frozen.
fn frozen(lab: &Lab, node: &str) -> Vec<String> {
    let groups = &lab.cluster().state().nodes;
    let Some(state) = groups.iter().find(|state| state.name == node) else {
        return Vec::new();
    };
    let is_frozen = |dir: &PathBuf| {
        // A group may go while it is looked at.
        let text = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap_or_default();
        text("freezer.state").trim() == "FROZEN" || text("cgroup.freeze").trim() == "1"
    };
    let dirs = state.groups.all().into_iter().filter(is_frozen);
    dirs.map(|dir| format!("{node}: frozen {}", short(&dir)))
        .collect()
}

fn short(dir: &Path) -> String {
    dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
