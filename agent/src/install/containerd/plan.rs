//! What has to be written where, decided from the files alone.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::entry::{RUNTIME_BINARY, RUNTIME_TYPE, from_runc, header, render};
use super::marked;
use super::{ConfigError, ConfigFile, ConfigSet};

/// Section of the CRI plugin's runtime part in version 2.
const SECTION_V2: &str = "io.containerd.grpc.v1.cri";
/// The same in version 3.
const SECTION_V3: &str = "io.containerd.cri.v1.runtime";
/// Name of the drop-in file.
const DROP_IN: &str = "godwit.toml";
/// Name of the runtime handler.
const HANDLER: &str = godwit_crds::RUNTIME_CLASS;

/// What an installation has to do to containerd's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// The entry is there, as Godwit or an administrator wrote it.
    Present,
    /// One file has to be written.
    Write {
        /// Path on the host.
        path: PathBuf,
        /// What is in it now; `None`: it does not exist.
        before: Option<String>,
        /// What has to be in it.
        after: String,
    },
}

/// Decides where the entry goes: a drop-in of its own where containerd merges imported files (version 3), the file that
/// holds the section otherwise.
///
/// containerd 1.x replaces a plugin's whole section by that of an imported file, so a drop-in would wipe out the node's
/// own settings there; it merges them since 2.0, which is also when version 3 came (mergeConfig in containerd's
/// cmd/containerd/server/config). `major` is containerd's major version, if known: needed only where there is no file.
pub fn plan(set: &ConfigSet, major: Option<u32>) -> Result<Plan, ConfigError> {
    let Some(main) = &set.main else {
        return plan_without_file(set, major);
    };
    if let Some(by) = generator(&main.text) {
        return Err(ConfigError::Generated {
            path: main.path.clone(),
            by,
            binary: RUNTIME_BINARY,
        });
    }
    let section = section_of(main)?;
    for file in &set.imports {
        section_of(file)?;
    }
    let runc = runc_of(set, section)?;
    let block = marked::block(&render(section, &from_runc(&runc)));

    if let Some(holder) = set.files().find(|file| marked::is_marked(&file.text)) {
        let fresh = if marked::is_only_marked(&holder.text) {
            own_file(version_of(holder)?, &block)
        } else {
            marked::append(&marked::cut(&holder.text), &block)
        };
        // Comments and order may differ; what counts is what containerd reads.
        if same_entry(holder, &fresh, section)? {
            return Ok(Plan::Present);
        }
        return Ok(Plan::Write {
            path: holder.path.clone(),
            before: Some(holder.text.clone()),
            after: fresh,
        });
    }
    if let Some((file, entry)) = set
        .files()
        .find_map(|file| Some((file, runtime(&file.value, section, HANDLER)?)))
    {
        let binary = entry["options"]["BinaryName"].as_str();
        if binary == Some(RUNTIME_BINARY) && entry["runtime_type"].as_str() == Some(RUNTIME_TYPE) {
            return Ok(Plan::Present);
        }
        return Err(ConfigError::Foreign {
            path: file.path.clone(),
            binary: binary.map(str::to_owned),
        });
    }
    if section == SECTION_V3
        && let Some(directory) = set.drop_in_directories.first()
    {
        let path = directory.join(DROP_IN);
        return Ok(Plan::Write {
            path,
            before: None,
            after: own_file(3, &block),
        });
    }
    let holder = set
        .imports
        .iter()
        .rev()
        .find(|file| holds_section(file, section))
        .unwrap_or(main);
    let after = marked::append(&holder.text, &block);
    check_only_entry_added(holder, &after, section)?;
    Ok(Plan::Write {
        path: holder.path.clone(),
        before: Some(holder.text.clone()),
        after,
    })
}

/// Options of the runtime handler `godwit` in a merged configuration (`containerd config dump`): its `BinaryName`.
pub fn handler_of(merged: &Value) -> Option<&str> {
    [SECTION_V3, SECTION_V2]
        .iter()
        .find_map(|section| runtime(merged, section, HANDLER)?["options"]["BinaryName"].as_str())
}

/// A merged configuration without Godwit's handler and without the list of imported files: equal before and after, or
/// the entry changed something else.
pub fn without_handler(mut merged: Value) -> Value {
    for section in [SECTION_V3, SECTION_V2] {
        let runtimes = merged.pointer_mut(&format!("/plugins/{section}/containerd/runtimes"));
        if let Some(Value::Object(runtimes)) = runtimes {
            runtimes.remove(HANDLER);
        }
    }
    if let Value::Object(root) = &mut merged {
        root.remove("imports");
    }
    merged
}

fn plan_without_file(set: &ConfigSet, major: Option<u32>) -> Result<Plan, ConfigError> {
    let (version, section) = match major {
        Some(1) => (2, SECTION_V2),
        Some(2..) => (3, SECTION_V3),
        _ => {
            return Err(ConfigError::Absent {
                path: set.main_path.clone(),
            });
        }
    };
    let block = marked::block(&render(section, &from_runc(&Map::new())));
    Ok(Plan::Write {
        path: set.main_path.clone(),
        before: None,
        after: own_file(version, &block),
    })
}

/// A file that holds the entry and nothing else.
fn own_file(version: i64, block: &str) -> String {
    format!("version = {version}\n{block}")
}

fn version_of(file: &ConfigFile) -> Result<i64, ConfigError> {
    let version = file.value["version"].as_i64().unwrap_or(1);
    match version {
        2 | 3 => Ok(version),
        _ => Err(ConfigError::Version {
            path: file.path.clone(),
            version,
        }),
    }
}

fn section_of(file: &ConfigFile) -> Result<&'static str, ConfigError> {
    let version = version_of(file)?;
    let (section, other) = if version == 3 {
        (SECTION_V3, SECTION_V2)
    } else {
        (SECTION_V2, SECTION_V3)
    };
    // Version 3 has a section of the old name too, for the streaming server; it just holds no runtimes.
    if file.value["plugins"][other].get("containerd").is_some() {
        return Err(ConfigError::Mixed {
            path: file.path.clone(),
            version,
            section: other,
        });
    }
    Ok(section)
}

fn holds_section(file: &ConfigFile, section: &str) -> bool {
    file.value["plugins"].get(section).is_some()
}

fn runtime<'a>(config: &'a Value, section: &str, name: &str) -> Option<&'a Value> {
    config
        .get("plugins")?
        .get(section)?
        .get("containerd")?
        .get("runtimes")?
        .get(name)
}

/// The table of the node's `runc` as containerd sees it: merged in version 3, of the last file that holds the section
/// in version 2.
fn runc_of(set: &ConfigSet, section: &str) -> Result<Map<String, Value>, ConfigError> {
    let mut runc = Map::new();
    for file in set.files() {
        if section == SECTION_V2 && holds_section(file, section) {
            runc.clear();
        }
        if let Some(Value::Object(table)) = runtime(&file.value, section, "runc") {
            merge(&mut runc, table);
        }
    }
    let kind = runc
        .get("runtime_type")
        .and_then(Value::as_str)
        .unwrap_or(RUNTIME_TYPE);
    if kind != RUNTIME_TYPE {
        return Err(ConfigError::Runtime {
            found: kind.to_owned(),
        });
    }
    let binary = runc
        .get("options")
        .and_then(|options| options["BinaryName"].as_str())
        .unwrap_or_default();
    let name = Path::new(binary).file_name().unwrap_or_default();
    if !name.is_empty() && name != "runc" {
        return Err(ConfigError::Runtime {
            found: binary.to_owned(),
        });
    }
    Ok(runc)
}

fn merge(to: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, value) in from {
        match (to.get_mut(key), value) {
            (Some(Value::Object(to)), Value::Object(from)) => merge(to, from),
            _ => {
                to.insert(key.clone(), value.clone());
            }
        }
    }
}

fn same_entry(holder: &ConfigFile, fresh: &str, section: &str) -> Result<bool, ConfigError> {
    let fresh = ConfigFile::parse(holder.path.clone(), fresh.to_owned())?;
    Ok(runtime(&holder.value, section, HANDLER) == runtime(&fresh.value, section, HANDLER))
}

fn check_only_entry_added(holder: &ConfigFile, after: &str, section: &str) -> Result<(), ConfigError> {
    let form = || ConfigError::Form {
        path: holder.path.clone(),
        table: header(section),
    };
    let after = ConfigFile::parse(holder.path.clone(), after.to_owned()).map_err(|_| form())?;
    let entry = runtime(&after.value, section, HANDLER)
        .cloned()
        .ok_or_else(form)?;
    let mut expected = holder.value.clone();
    expected["plugins"][section]["containerd"]["runtimes"][HANDLER] = entry;
    if expected == after.value {
        Ok(())
    } else {
        Err(form())
    }
}

/// Distributions that write the file anew at each start say so in its first lines.
fn generator(text: &str) -> Option<&'static str> {
    let head: String = text.lines().take(5).collect::<Vec<_>>().join("\n").to_lowercase();
    if !head.contains("generated by") {
        return None;
    }
    ["k3s", "rke2", "k0s"]
        .into_iter()
        .find(|name| head.contains(name))
}
