//! Writing the runtime entry and taking it out again, recorded so that either can be cut off at any point.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tracing::info;

use super::InstallError;
use super::containerd::{
    ConfigError, ConfigSet, Plan, cut_marked, handler_of, is_marked, is_only_marked, plan, without_handler,
};
use super::error::FileContext;
use super::files;
use super::node::{EngineKind, EngineProcess, NodeError, NodeOps};
use super::paths::under;
use super::record::{EntryRecord, InstallRecord, RECORD, hash_of};

/// Decides what has to be done; changes nothing.
pub fn decide(root: &Path, engine: &EngineProcess) -> Result<Plan, InstallError> {
    if engine.kind == EngineKind::Crio {
        return Err(NodeError::UnsupportedEngine.into());
    }
    let set = ConfigSet::read(root, &engine.config)?;
    Ok(plan(&set, engine.major)?)
}

/// Carries the plan out, up to the restart: intent to the record, file, check by the engine itself.
pub async fn write(
    node: &impl NodeOps,
    root: &Path,
    state: &Path,
    engine: &EngineProcess,
    plan: &Plan,
) -> Result<(), InstallError> {
    let Plan::Write { path, before, after } = plan else {
        return Ok(());
    };
    let mut record = InstallRecord::read(state)?;
    if record.failed.as_deref() == Some(&attempt_of(before.as_deref(), after)) {
        return Err(InstallError::FailedBefore {
            path: path.clone(),
            record: state.join(RECORD),
        });
    }
    // The engine's own view first: it fails here, before anything is written, if the files are broken already.
    let merged_before = merged(node, engine).await?;
    let original = match (&record.entry, before) {
        // An older entry of ours in an otherwise untouched file: the first original stays the one to go back to.
        (Some(entry), Some(before)) if entry.path == *path && entry.written == hash_of(before) => {
            entry.original.clone()
        }
        (_, Some(before)) if is_only_marked(before) => None,
        (_, Some(before)) => Some(cut_marked(before)),
        (_, None) => None,
    };
    record.entry = Some(EntryRecord {
        path: path.clone(),
        original,
        written: hash_of(after),
    });
    record.restart_pending = true;
    record.failed = None;
    record.write(state)?;
    put(root, path, after)?;
    info!(path = %path.display(), "runtime entry written");

    if let Some(merged_before) = merged_before
        && let Err(error) = verify(node, engine, path, merged_before).await
    {
        take_back(root, state, engine, plan, false)?;
        return Err(error);
    }
    Ok(())
}

/// Undoes [`write()`] after the engine did not take it; `failed` remembers the attempt, so that a restarted agent does
/// not restart the engine over and over.
pub fn take_back(
    root: &Path,
    state: &Path,
    engine: &EngineProcess,
    plan: &Plan,
    failed: bool,
) -> Result<(), InstallError> {
    let Plan::Write { path, before, after } = plan else {
        return take_back_earlier(root, state, engine, failed);
    };
    match before {
        Some(before) => put(root, path, before)?,
        None => files::remove(&under(root, path))?,
    }
    let mut record = InstallRecord::read(state)?;
    record.restart_pending = false;
    record.failed = failed.then(|| attempt_of(before.as_deref(), after));
    match before {
        // What was there was an older entry of ours: it stays recorded, as it stays in the file.
        Some(before) if is_marked(before) => {
            if let Some(entry) = &mut record.entry {
                entry.written = hash_of(before);
            }
        }
        _ => record.entry = None,
    }
    record.write(state)
}

/// The same where the entry was written by an earlier start that did not get as far as the restart, or by an
/// administrator, whose entry stays.
fn take_back_earlier(
    root: &Path,
    state: &Path,
    engine: &EngineProcess,
    failed: bool,
) -> Result<(), InstallError> {
    let mut record = InstallRecord::read(state)?;
    let attempt = match &record.entry {
        Some(entry) => {
            let written = fs::read_to_string(under(root, &entry.path)).unwrap_or_default();
            attempt_of(entry.original.as_deref(), &written)
        }
        None => attempt_of(None, ""),
    };
    if record.entry.is_some() {
        remove(root, state, &engine.config)?;
    }
    record.entry = None;
    record.restart_pending = false;
    record.failed = failed.then_some(attempt);
    record.write(state)
}

/// True when the engine was restarted before for an entry that an administrator wrote, and did not take it.
pub fn failed_before(record: &InstallRecord) -> bool {
    record.failed.as_deref() == Some(&attempt_of(None, ""))
}

/// Takes the entry out of the engine's configuration. True: something changed.
///
/// A file that is as Godwit wrote it gets its original content back, byte by byte; one that others have changed since
/// loses the marked block only; one that is Godwit's own goes.
pub fn remove(root: &Path, state: &Path, main_config: &Path) -> Result<bool, InstallError> {
    let record = InstallRecord::read(state)?;
    let mut changed = false;
    if let Some(entry) = &record.entry {
        let path = under(root, &entry.path);
        match fs::read_to_string(&path) {
            Ok(found) if hash_of(&found) == entry.written => {
                match &entry.original {
                    Some(original) => files::rewrite(&path, original.as_bytes())?,
                    None => files::remove(&path)?,
                }
                changed = true;
            }
            Ok(found) => changed |= cut(root, &entry.path, &found)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).during("read", &path),
        }
        // A crash between temporary file and rename; removed here, as nothing else would.
        files::remove(&files::temporary(&path))?;
    }
    // Without a record (the state directory was removed by hand) the markers still tell.
    match ConfigSet::read(root, main_config) {
        Ok(set) => {
            for file in set.files() {
                changed |= cut(root, &file.path, &file.text)?;
            }
        }
        // Not readable as a whole is no reason to keep what the record knew how to remove.
        Err(ConfigError::Malformed { .. } | ConfigError::TooManyImports { .. }) if record.entry.is_some() => {
        }
        Err(error) => return Err(error.into()),
    }
    Ok(changed)
}

fn cut(root: &Path, path: &Path, text: &str) -> Result<bool, InstallError> {
    if !is_marked(text) {
        return Ok(false);
    }
    if is_only_marked(text) {
        files::remove(&under(root, path))?;
    } else {
        files::rewrite(&under(root, path), cut_marked(text).as_bytes())?;
    }
    Ok(true)
}

fn put(root: &Path, path: &Path, text: &str) -> Result<(), InstallError> {
    let path = under(root, path);
    if path.exists() {
        files::rewrite(&path, text.as_bytes())
    } else {
        files::write(&path, text.as_bytes(), 0o644).map(drop)
    }
}

fn attempt_of(before: Option<&str>, after: &str) -> String {
    hash_of(&format!("{}\0{after}", before.unwrap_or_default()))
}

async fn merged(node: &impl NodeOps, engine: &EngineProcess) -> Result<Option<Value>, InstallError> {
    let Some(text) = node.merged_config(engine).await else {
        return Ok(None);
    };
    let text = text?;
    toml_edit::de::from_str(&text).map(Some).map_err(|source| {
        ConfigError::Malformed {
            path: engine.config.clone(),
            source: Box::new(source),
        }
        .into()
    })
}

async fn verify(
    node: &impl NodeOps,
    engine: &EngineProcess,
    path: &Path,
    before: Value,
) -> Result<(), InstallError> {
    let unexpected = |found: String| InstallError::Verify {
        path: path.to_owned(),
        found,
    };
    let after = match merged(node, engine).await {
        Ok(Some(after)) => after,
        Ok(None) => return Err(unexpected("it can no longer be asked".to_owned())),
        Err(error) => return Err(unexpected(crate::failure::chain(&error))),
    };
    if handler_of(&after).is_none() {
        return Err(unexpected("the handler is not there".to_owned()));
    }
    if without_handler(after) != without_handler(before) {
        return Err(unexpected("other settings changed too".to_owned()));
    }
    Ok(())
}
