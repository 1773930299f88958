//! A tree with everything that a writable layer can hold, and files that are being written while the pod moves.
//!
//! The control port answers `list` with one entry for each path, parted by tabs: what it is, mode, owner, length, time
//! of change, links, extended attributes, content. Anything else it answers with the state of the files being written.

use std::ffi::{CString, OsStr};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::board::{Board, same};
use crate::{Failure, control};

/// Run until the container is ended; everything is made below `dir`, and some of the image's own files are changed.
pub(crate) fn files(port: u16, dir: &str) -> Result<(), Failure> {
    let dir = PathBuf::from(dir);
    let still = dir.join("still");
    fs::create_dir_all(&still)?;
    plant(&still)?;
    // CRIU binds a socket anew, so the times of this path, and of its folder, are those of the restore: not listed.
    let bound = dir.join("bound");
    fs::create_dir_all(&bound)?;
    let socket = std::sync::Arc::new(UnixListener::bind(bound.join("socket"))?);
    change_the_image()?;
    let board = Board::default();
    let busy = dir.join("busy");
    fs::create_dir_all(&busy)?;
    appended(&board, &busy)?;
    replaced(&board, busy);
    control::answer_on(port, move |line| {
        let _bound = &socket;
        if line != "list" {
            return board.told();
        }
        let mut text = match fs::symlink_metadata(bound.join("socket")) {
            Ok(about) => format!("bound {:o} {}\t", about.mode(), about.uid()),
            Err(error) => format!("bound socket: {error}\t"),
        };
        let mut inodes = Vec::new();
        for root in [
            still.as_path(),
            Path::new("/usr/share"),
            Path::new("/etc/passwd"),
            Path::new("/etc/group"),
        ] {
            list(root, &mut text, &mut inodes);
        }
        text
    })
}

fn plant(dir: &Path) -> Result<(), Failure> {
    let at = |name: &str| dir.join(name);
    fs::write(at("plain"), "plain\n")?;
    fs::write(at("empty"), "")?;
    fs::write(at("owned"), "of somebody else\n")?;
    chown(at("owned"), Some(1234), Some(4321))?;
    fs::write(at("setuid"), "x")?;
    fs::set_permissions(at("setuid"), Permissions::from_mode(0o4711))?;
    fs::write(
        dir.join(OsStr::from_bytes(b"no \xff\xfe text\n")),
        "a name that is no text",
    )?;
    fs::write(at(&"n".repeat(255)), "a long name")?;
    fs::hard_link(at("plain"), at("linked"))?;
    fs::create_dir_all(at("deep/er"))?;
    fs::hard_link(at("plain"), at("deep/er/linked"))?;
    symlink("plain", at("symlink"))?;
    symlink("/no/such/place", at("dangling"))?;
    fs::create_dir(at("sticky"))?;
    fs::set_permissions(at("sticky"), Permissions::from_mode(0o1770))?;
    chown(at("sticky"), Some(7), Some(8))?;
    mknod(&at("fifo"), SFlag::S_IFIFO, Mode::from_bits_truncate(0o640), 0)?;
    mknod(
        &at("null"),
        SFlag::S_IFCHR,
        Mode::from_bits_truncate(0o666),
        makedev(1, 3),
    )?;
    let mut sparse = File::create(at("sparse"))?;
    sparse.seek(SeekFrom::Start(10 << 20))?;
    sparse.write_all(b"in the middle of nothing")?;
    sparse.set_len(64 << 20)?;
    let large: Vec<u8> = (0..8_u32 << 20)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    fs::write(at("large"), large)?;
    set_attribute(&at("plain"), "user.note", b"kept\0binary\xff")?;
    set_attribute(&at("deep"), "user.dir", b"of a directory")?;
    // The capability set of `ping`: effective, CAP_NET_RAW.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    set_attribute(&at("setuid"), "security.capability", &capability)?;
    let past = fs::FileTimes::new()
        .set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(1_234_567_890, 123_456_789));
    File::open(at("owned"))?.set_times(past)?;
    File::open(at("deep/er"))?.set_times(past)?;
    // The path of a socket that nobody has bound any more is a file like others.
    drop(UnixListener::bind(at("socket"))?);
    Ok(())
}

/// What the image brings is removed, hidden, changed in place and replaced.
fn change_the_image() -> Result<(), Failure> {
    fs::remove_file("/etc/group")?;
    fs::set_permissions("/etc/passwd", Permissions::from_mode(0o600))?;
    let lower = Path::new("/usr/share/lower");
    fs::remove_dir_all(lower.join("hidden"))?;
    fs::create_dir(lower.join("hidden"))?;
    fs::write(lower.join("hidden/new"), "the old ones must not shine through")?;
    fs::remove_file(lower.join("file"))?;
    fs::create_dir(lower.join("file"))?;
    fs::rename(lower.join("kept"), lower.join("renamed"))?;
    OpenOptions::new()
        .append(true)
        .open(lower.join("grown"))?
        .write_all(b"and more\n")?;
    Ok(())
}

/// A log that grows all the time; each round finds all that earlier ones wrote.
fn appended(board: &Board, dir: &Path) -> Result<(), Failure> {
    let path = dir.join("log");
    let mut log = OpenOptions::new().create(true).append(true).open(&path)?;
    board.keep("a growing file", move |round| {
        writeln!(log, "{round}")?;
        let text = fs::read_to_string(&path)?;
        same("lines", text.lines().count() as u64, round)?;
        let last = text.lines().last().unwrap_or_default().to_owned();
        same("the last line", last, round.to_string())?;
        same("links of the open file", log.metadata()?.nlink(), 1)
    });
    Ok(())
}

/// Files that are replaced by renaming, made and removed.
fn replaced(board: &Board, dir: PathBuf) {
    board.keep("replaced files", move |round| {
        let current = dir.join("current");
        if round > 1 {
            same("current", fs::read_to_string(&current)?, (round - 1).to_string())?;
            same(
                "what was removed",
                dir.join(format!("gone-{}", round % 8)).exists(),
                false,
            )?;
        }
        fs::write(dir.join("next"), round.to_string())?;
        fs::rename(dir.join("next"), &current)?;
        fs::write(dir.join(format!("gone-{}", round % 8)), "for a moment")?;
        fs::remove_file(dir.join(format!("gone-{}", round % 8)))?;
        Ok(())
    });
}

fn list(path: &Path, text: &mut String, inodes: &mut Vec<u64>) {
    let name = path.as_os_str().as_bytes().escape_ascii();
    let Ok(about) = fs::symlink_metadata(path) else {
        let _ = write!(text, "{name} absent\t");
        return;
    };
    let kind = about.file_type();
    let _ = write!(
        text,
        "{name} mode={:o} owner={}:{} mtime={}.{:09}",
        about.mode(),
        about.uid(),
        about.gid(),
        about.mtime(),
        about.mtime_nsec()
    );
    for (key, value) in attributes(path) {
        let _ = write!(text, " {}={}", key.escape_ascii(), value.escape_ascii());
    }
    if kind.is_symlink() {
        let _ = write!(text, " to={}", fs::read_link(path).unwrap_or_default().display());
    } else if kind.is_file() {
        let links = if about.nlink() > 1 {
            let place = inodes.iter().position(|&inode| inode == about.ino());
            let place = place.unwrap_or_else(|| {
                inodes.push(about.ino());
                inodes.len() - 1
            });
            format!("{}(group {place})", about.nlink())
        } else {
            "1".to_owned()
        };
        let is_sparse = about.blocks() * 512 < about.size() / 2;
        let _ = write!(
            text,
            " size={} links={links} sparse={is_sparse} content={}",
            about.size(),
            content(path)
        );
    } else if kind.is_char_device() || kind.is_block_device() {
        let _ = write!(text, " device={:x}", about.rdev());
    }
    text.push('\t');
    if kind.is_dir() {
        let mut names: Vec<PathBuf> = fs::read_dir(path)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        names.sort();
        for name in names {
            list(&name, text, inodes);
        }
    }
}

/// FNV-1a of a file.
fn content(path: &Path) -> String {
    let Ok(mut file) = File::open(path) else {
        return "unreadable".to_owned();
    };
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return format!("{hash:016x}"),
            Ok(count) => {
                for &byte in &buffer[..count] {
                    hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
                }
            }
            Err(error) => return error.to_string(),
        }
    }
}

fn set_attribute(path: &Path, name: &str, value: &[u8]) -> Result<(), Failure> {
    let (file, key) = (CString::new(path.as_os_str().as_bytes())?, CString::new(name)?);
    // SAFETY: both strings end with a zero, and the length is that of the value.
    let result =
        unsafe { libc::lsetxattr(file.as_ptr(), key.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    if result != 0 {
        return Err(format!("set {name}: {}", std::io::Error::last_os_error()).into());
    }
    Ok(())
}

fn attributes(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let Ok(file) = CString::new(path.as_os_str().as_bytes()) else {
        return Vec::new();
    };
    let mut names = vec![0_u8; 4096];
    // SAFETY: the buffer is as long as is said.
    let length = unsafe { libc::llistxattr(file.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(usize::try_from(length).unwrap_or(0));
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = names
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0_u8; 4096];
            let key = CString::new(name).unwrap_or_default();
            // SAFETY: as above.
            let length = unsafe {
                libc::lgetxattr(
                    file.as_ptr(),
                    key.as_ptr(),
                    value.as_mut_ptr().cast(),
                    value.len(),
                )
            };
            value.truncate(usize::try_from(length).unwrap_or(0));
            (name.to_vec(), value)
        })
        .collect();
    found.sort();
    found
}
