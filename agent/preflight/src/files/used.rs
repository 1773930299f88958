//! The source's side: which files of the node the pod uses, and what it needs of them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use godwit_proc::bounded;
use godwit_proc::mountinfo::{self, Mount};
use rustix::fs::FileType;

use super::origin::{self, Origin};
use super::{Cache, HostFile, MAX_FILES, MAX_NEEDS, Need, User, node_path};
use crate::elf::{self, Needed};
use crate::process::Process;
use crate::process::descriptor::Kind;
use crate::process::mapping::Mapping;
use crate::subject::{Container, Pod};

/// Of `/proc/PID/environ`.
const ENVIRONMENT: usize = 1 << 20;

/// Files of the node that processes of the pod have mapped or open, by path. Not frozen, so a process may end or map another one meanwhile.
///
/// Reads each file in whole, unless `cache` knows it: call it on a thread that may wait.
pub fn used(pod: &Pod, cache: &mut Cache) -> Vec<HostFile> {
    let node = mountinfo::read(&pod.proc.join("1")).unwrap_or_default();
    let mut found = Found::default();
    for container in &pod.containers {
        for &pid in &container.pids {
            if let Some(process) = Process::read(&pod.proc, pid) {
                found.process(container, &process, &node, cache);
            }
        }
    }
    for file in found.files.values_mut() {
        file.needs.sort_by_key(|need| !need.unbound);
        file.needs.truncate(MAX_NEEDS);
    }
    found.files.into_values().collect()
}

#[derive(Default)]
struct Found {
    files: BTreeMap<Key, HostFile>,
}

/// Its path in the container and on the node: two containers may have different files at one place.
type Key = (String, String);

/// A file that a process has.
struct Held {
    path: PathBuf,
    /// The kernel's link to it.
    link: PathBuf,
    mapped: bool,
}

impl Found {
    fn process(&mut self, container: &Container, process: &Process, node: &[Mount], cache: &mut Cache) {
        let mounts = mountinfo::read(&process.proc).unwrap_or_default();
        let mut libraries: BTreeMap<String, Key> = BTreeMap::new();
        for held in held(process) {
            let Some(mount) = origin::mount_of(&mounts, &held.path) else {
                continue;
            };
            if origin::of(mount, &container.mounts) != Origin::Host {
                continue;
            }
            let Some(key) = self.file(&held, mount, node, cache) else {
                continue;
            };
            let file = self.files.get_mut(&key);
            if let Some(file) = file {
                add_user(file, container, process, held.mapped);
            }
            if held.mapped
                && let Some(file) = open(&held.link)
                && let Ok(Some(elf)) = cache.elf(&file)
            {
                let name = elf.soname.clone().or_else(|| name_of(&held.path));
                libraries.extend(name.map(|name| (name, key)));
            }
        }
        if !libraries.is_empty() {
            self.needs(container, process, &libraries, cache);
        }
    }

    /// Adds the file, if it is not there yet; gives what it is called.
    fn file(&mut self, held: &Held, mount: &Mount, node: &[Mount], cache: &mut Cache) -> Option<Key> {
        let path = held.path.to_string_lossy().into_owned();
        let on_node = node_path::of(&held.path, mount, node);
        let on_node = on_node.map_or_else(|| path.clone(), |it| it.to_string_lossy().into_owned());
        let key = (path, on_node);
        if self.files.contains_key(&key) {
            return Some(key);
        }
        if self.files.len() >= MAX_FILES {
            return None;
        }
        if Kind::of(&held.link)?.file_type != FileType::RegularFile {
            return None;
        }
        let opened = open(&held.link).and_then(|mut file| cache.content(&mut file).ok().flatten());
        let file = HostFile {
            path: key.0.clone(),
            on_node: key.1.clone(),
            content: opened,
            users: Vec::new(),
            needs: Vec::new(),
        };
        self.files.insert(key.clone(), file);
        Some(key)
    }

    /// What every object of the process needs of these libraries of the node.
    fn needs(
        &mut self,
        container: &Container,
        process: &Process,
        libraries: &BTreeMap<String, Key>,
        cache: &mut Cache,
    ) {
        let all_now = binds_now(&process.proc);
        for mappings in objects(&process.mappings) {
            let Some(file) = open(&mappings[0].link(&process.proc)) else {
                continue;
            };
            let Ok(Some(elf)) = cache.elf(&file) else {
                continue;
            };
            let needed: Vec<&Needed> = elf
                .needed
                .iter()
                .filter(|it| libraries.contains_key(&it.library))
                .collect();
            let unbound = if all_now || elf.binds_now || needed.is_empty() {
                Vec::new()
            } else {
                elf::unresolved(&process.proc, &elf, &mappings, &needed)
            };
            let object = String::from_utf8_lossy(&mappings[0].name).into_owned();
            for needed in needed {
                let Some(file) = libraries
                    .get(&needed.library)
                    .and_then(|key| self.files.get_mut(key))
                else {
                    continue;
                };
                // Twice the bound, of which those that matter are kept.
                if file.needs.len() >= 2 * MAX_NEEDS {
                    continue;
                }
                let user = add_user(file, container, process, true);
                file.needs.push(Need {
                    symbol: needed.symbol.clone(),
                    object: object.clone(),
                    user,
                    unbound: unbound.contains(&needed),
                });
            }
        }
    }
}

/// Regular files that the process has mapped or open, each once; its program is mapped.
fn held(process: &Process) -> Vec<Held> {
    let mut all: Vec<Held> = objects(&process.mappings)
        .into_iter()
        .map(|mappings| Held {
            path: path(&mappings[0].name),
            link: mappings[0].link(&process.proc),
            mapped: true,
        })
        .collect();
    let open = process
        .descriptors
        .iter()
        .filter(|it| it.kind.file_type == FileType::RegularFile);
    all.extend(open.filter(|it| it.target.starts_with(b"/")).map(|it| Held {
        path: path(&it.target),
        link: it.link(&process.proc),
        mapped: false,
    }));
    all
}

/// A regular file alone: to open a device does things to it, and a pipe would hold whoever opens it.
fn open(link: &Path) -> Option<File> {
    let is_file = Kind::of(link)?.file_type == FileType::RegularFile;
    is_file.then(|| File::open(link).ok()).flatten()
}

/// Mappings of files, by file.
fn objects(mappings: &[Mapping]) -> Vec<Vec<&Mapping>> {
    let mut by_file: BTreeMap<_, Vec<&Mapping>> = BTreeMap::new();
    for mapping in mappings
        .iter()
        .filter(|it| it.inode != 0 && it.name.starts_with(b"/"))
    {
        by_file
            .entry((mapping.device, mapping.inode, &mapping.name))
            .or_default()
            .push(mapping);
    }
    by_file.into_values().collect()
}

/// Adds the process to the users; gives its place among them.
fn add_user(file: &mut HostFile, container: &Container, process: &Process, mapped: bool) -> usize {
    let pid = process.inside();
    let known = file
        .users
        .iter()
        .position(|user| user.pid == pid && user.container == container.name);
    let at = known.unwrap_or_else(|| {
        file.users.push(User {
            container: container.name.clone(),
            pid,
            process: process.name(),
            mapped,
        });
        file.users.len() - 1
    });
    file.users[at].mapped |= mapped;
    at
}

fn path(name: &[u8]) -> PathBuf {
    OsString::from_vec(name.to_vec()).into()
}

fn name_of(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

/// Whether the dynamic linker was told to bind everything at the start (`ld.so(8)`): to any value but an empty one.
fn binds_now(process: &Path) -> bool {
    let environment = bounded::read_start(&process.join("environ"), ENVIRONMENT).unwrap_or_default();
    environment.split(|&byte| byte == 0).any(|entry| {
        entry
            .strip_prefix(b"LD_BIND_NOW=")
            .is_some_and(|value| !value.is_empty())
    })
}
