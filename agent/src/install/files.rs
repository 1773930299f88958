//! Putting files in their place: whole or not at all, and only when something differs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::InstallError;
use super::error::FileContext;

/// Suffix of files that are being written; none of them outlives a completed installation.
pub const TEMPORARY: &str = ".godwit-tmp";

/// Makes a directory with just this mode, or corrects the mode of the one that is there. True: something changed.
pub fn directory(path: &Path, mode: u32) -> Result<bool, InstallError> {
    let created = match fs::create_dir(path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(error).during("create the directory", path),
    };
    Ok(set_mode(path, mode)? || created)
}

/// Writes a file by way of a temporary one beside it, so that a reader (or a program that runs from it) has the old or
/// the new content whole. True: it was not there before with this content and mode.
pub fn write(path: &Path, content: &[u8], mode: u32) -> Result<bool, InstallError> {
    if has_content(path, content) {
        return set_mode(path, mode);
    }
    replace(path, mode, |file| file.write_all(content))?;
    Ok(true)
}

/// As [`write()`], with mode and owner of what is there now.
pub fn rewrite(path: &Path, content: &[u8]) -> Result<(), InstallError> {
    let metadata = fs::metadata(path).during("read", path)?;
    replace(path, metadata.permissions().mode() & 0o7777, |file| {
        std::os::unix::fs::fchown(&*file, Some(metadata.uid()), Some(metadata.gid()))?;
        file.write_all(content)
    })
}

/// Copies one file; as [`write()`], without holding it in memory.
pub fn copy(from: &Path, to: &Path, mode: u32) -> Result<bool, InstallError> {
    if same_content(from, to).during("compare with", to)? {
        return set_mode(to, mode);
    }
    let mut source = File::open(from).during("read", from)?;
    replace(to, mode, |file| io::copy(&mut source, file).map(drop))?;
    Ok(true)
}

/// Removes a file; it is no error if there is none.
pub fn remove(path: &Path) -> Result<(), InstallError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).during("remove", path),
        _ => sync_parent(path),
    }
}

/// Removes a directory with all that is in it; it is no error if there is none.
pub fn remove_tree(path: &Path) -> Result<(), InstallError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).during("remove", path),
        _ => Ok(()),
    }
}

/// The temporary name beside a path.
pub fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    name.into()
}

/// Makes a rename or removal in a directory last.
pub fn sync_parent(path: &Path) -> Result<(), InstallError> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    match File::open(parent) {
        Ok(directory) => directory.sync_all().during("sync", parent),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).during("sync", parent),
    }
}

fn replace(
    path: &Path,
    mode: u32,
    write_to: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), InstallError> {
    let temporary = temporary(path);
    // A crash may have left one behind; it may even be a link.
    remove(&temporary)?;
    let outcome = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)?;
        write_to(&mut file)?;
        // Owner changes clear set-id bits and the umask may have narrowed the mode.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if outcome.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    outcome.during("write", path)?;
    sync_parent(path)
}

fn set_mode(path: &Path, mode: u32) -> Result<bool, InstallError> {
    let now = fs::metadata(path).during("read", path)?.permissions().mode() & 0o7777;
    if now == mode {
        return Ok(false);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).during("set the mode of", path)?;
    Ok(true)
}

fn has_content(path: &Path, content: &[u8]) -> bool {
    let regular = fs::symlink_metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.len() == content.len() as u64);
    regular && fs::read(path).is_ok_and(|found| found == content)
}

fn same_content(from: &Path, to: &Path) -> io::Result<bool> {
    let here = match fs::symlink_metadata(to) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if !here.is_file() || here.len() != fs::metadata(from)?.len() {
        return Ok(false);
    }
    Ok(hash(from)? == hash(to)?)
}

fn hash(path: &Path) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize()),
            read => hasher.update(&buffer[..read]),
        };
    }
}
