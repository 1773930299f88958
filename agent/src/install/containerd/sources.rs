//! Reading containerd's configuration with all that it imports.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::ConfigError;

/// Largest file that is read, in bytes.
const FILE_LIMIT: u64 = 1 << 20;
/// Most files that are read.
const IMPORT_LIMIT: usize = 64;

/// One file of the configuration.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    /// Path on the host (without the prefix under which the agent sees it).
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// The same, parsed.
    pub value: Value,
}

impl ConfigFile {
    /// Parses a file's text; an error if it is no TOML.
    pub fn parse(path: PathBuf, text: String) -> Result<Self, ConfigError> {
        match toml_edit::de::from_str(&text) {
            Ok(value) => Ok(Self { path, text, value }),
            Err(source) => Err(ConfigError::Malformed {
                path,
                source: Box::new(source),
            }),
        }
    }

    fn read(root: &Path, path: &Path) -> Result<Option<Self>, ConfigError> {
        let fail = |source| ConfigError::Read {
            path: path.to_owned(),
            source,
        };
        let file = match File::open(under(root, path)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail(error)),
        };
        let mut text = String::new();
        let read = file
            .take(FILE_LIMIT + 1)
            .read_to_string(&mut text)
            .map_err(fail)?;
        if read as u64 > FILE_LIMIT {
            return Err(ConfigError::TooLarge {
                path: path.to_owned(),
                limit: FILE_LIMIT,
            });
        }
        Self::parse(path.to_owned(), text).map(Some)
    }
}

/// containerd's configuration: the main file and what it imports, in the order in which containerd merges them.
#[derive(Debug, Clone)]
pub struct ConfigSet {
    /// Path of the main file on the host.
    pub main_path: PathBuf,
    /// The main file, if it exists.
    pub main: Option<ConfigFile>,
    /// Imported files, in order.
    pub imports: Vec<ConfigFile>,
    /// Existing directories of which containerd imports every `*.toml`.
    pub drop_in_directories: Vec<PathBuf>,
}

impl ConfigSet {
    /// Reads the configuration of the host whose root is seen at `root`.
    pub fn read(root: &Path, main_path: &Path) -> Result<Self, ConfigError> {
        let main = ConfigFile::read(root, main_path)?;
        let mut set = Self {
            main_path: main_path.to_owned(),
            main,
            imports: Vec::new(),
            drop_in_directories: Vec::new(),
        };
        let mut pending: Vec<ConfigFile> = set.main.clone().into_iter().collect();
        let mut seen = vec![main_path.to_owned()];
        while let Some(file) = pending.pop() {
            // Depth first, as containerd does; the order matters only between files that set the same thing.
            for path in set.imports_of(root, &file).into_iter().rev() {
                if seen.contains(&path) {
                    continue;
                }
                if seen.len() > IMPORT_LIMIT {
                    return Err(ConfigError::TooManyImports {
                        path: main_path.to_owned(),
                        limit: IMPORT_LIMIT,
                    });
                }
                seen.push(path.clone());
                pending.extend(ConfigFile::read(root, &path)?);
            }
            if file.path != main_path {
                set.imports.push(file);
            }
        }
        Ok(set)
    }

    /// All files, the main one first.
    pub fn files(&self) -> impl Iterator<Item = &ConfigFile> {
        self.main.iter().chain(&self.imports)
    }

    fn imports_of(&mut self, root: &Path, file: &ConfigFile) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for pattern in file.value["imports"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            let pattern = file.path.parent().unwrap_or(Path::new("/")).join(pattern);
            let (Some(directory), Some(name)) = (
                pattern.parent(),
                pattern.file_name().and_then(|name| name.to_str()),
            ) else {
                continue;
            };
            let Some((prefix, suffix)) = name.split_once('*') else {
                paths.push(pattern.clone());
                continue;
            };
            let Ok(listing) = std::fs::read_dir(under(root, directory)) else {
                continue;
            };
            let drop_ins = name == "*.toml" && !directory.to_string_lossy().contains('*');
            if drop_ins && !self.drop_in_directories.iter().any(|known| known == directory) {
                self.drop_in_directories.push(directory.to_owned());
            }
            let mut names: Vec<String> = listing
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .filter(|name| name.len() >= prefix.len() + suffix.len())
                .filter(|name| name.starts_with(prefix) && name.ends_with(suffix))
                .collect();
            names.sort_unstable();
            paths.extend(names.into_iter().map(|name| directory.join(name)));
        }
        paths
    }
}

/// A host path as seen by the agent.
fn under(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}
