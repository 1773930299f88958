//! Everything out of the node again.

use std::fs;
use std::path::Path;

use tracing::info;

use super::node::NodeOps;
use super::paths::{RUN, STATE, under};
use super::record::InstallRecord;
use super::{InstallError, Installation, files, has_handler, runtime_entry};

/// What on this node still depends on Godwit, by its own records: migrations under way and carried addresses.
pub fn local_users(root: &Path) -> Vec<String> {
    let listed = |path: &str, what: &str| -> Vec<String> {
        let entries = fs::read_dir(under(root, path))
            .into_iter()
            .flatten()
            .filter_map(Result::ok);
        let mut names: Vec<String> = entries
            .map(|entry| format!("{what} {}", entry.file_name().to_string_lossy()))
            .collect();
        names.sort_unstable();
        names
    };
    let mut users = listed(&format!("{RUN}/records"), "records of pod");
    users.extend(listed(&format!("{STATE}/journal"), "migration"));
    users.extend(listed(&format!("{STATE}/carry"), "carried address"));
    users
}

/// Takes everything out: the exact reverse of an installation. Refused with the list of `pods` (namespace/name of those
/// of Godwit's `RuntimeClass` on this node) and local records while there are any. Can be cut off and repeated.
///
/// containerd is restarted once if it has the entry loaded. True: something was there.
pub async fn uninstall(
    installation: &Installation,
    node: &impl NodeOps,
    pods: Vec<String>,
) -> Result<bool, InstallError> {
    let root = &installation.root;
    let users: Vec<String> = pods.into_iter().chain(local_users(root)).collect();
    if !users.is_empty() {
        return Err(InstallError::InUse { users });
    }
    let state = installation.state();
    let engine = node.engine().await?;
    let mut record = InstallRecord::read(&state)?;
    let entry_there = runtime_entry::remove(root, &state, &engine.config)?;
    // An administrator's own entry stays, and containerd keeps listing it: nothing to restart for.
    let ours = entry_there || record.entry.is_some();
    if ours && has_handler(&node.handlers().await?) {
        info!(
            pid = engine.pid,
            "restarting containerd once, without the runtime entry; pods keep running"
        );
        node.restart(&engine).await?;
        installation.await_engine(node, &engine, false).await?;
    }
    let run = under(root, RUN);
    if record.mounted_run {
        node.unmount(Path::new(RUN)).await?;
        record.mounted_run = false;
        if state.exists() {
            record.write(&state)?;
        }
    }
    node.remove_call_group()?;
    let there = ours || run.exists() || state.exists();
    files::remove_tree(&run)?;
    files::remove_tree(&state)?;
    Ok(there)
}
