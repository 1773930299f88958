//! `SysV` objects belong to the IPC namespace, which the containers of a pod share: the dump of each container holds all of them. The first
//! container's restore makes them; the others' would meet them there (EEXIST), so their images are emptied.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use super::header::{self, Header};
use super::{ImageError, check};

/// A dump of a thousand processes has some ten thousand files.
const FILES_LIMIT: usize = 1 << 20;

/// Empties the images of `SysV` shared memory, message queues and semaphores in `image_dir` (only their beginning stays, which CRIU reads as "none")
/// and returns those that held anything. Nothing is changed if one of them is not what its name says.
pub fn blank_sysv(image_dir: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let mut found = Vec::new();
    for (count, entry) in std::fs::read_dir(image_dir)
        .map_err(ImageError::file("list", image_dir))?
        .enumerate()
    {
        if count >= FILES_LIMIT {
            return Err(ImageError::TooMany {
                path: image_dir.to_owned(),
                limit: FILES_LIMIT,
            });
        }
        let entry = entry.map_err(ImageError::file("list", image_dir))?;
        if let Some(kind) = entry.file_name().to_str().and_then(kind_of) {
            let path = entry.path();
            check(&path, kind)?;
            let length = entry.metadata().map_err(ImageError::file("read", &path))?.len();
            if length > header::LENGTH {
                found.push(path);
            }
        }
    }
    for path in &found {
        let file = OpenOptions::new()
            .write(true)
            .open(path)
            .map_err(ImageError::file("write", path))?;
        file.set_len(header::LENGTH)
            .map_err(ImageError::file("write", path))?;
    }
    found.sort();
    Ok(found)
}

/// `ipcns-shm-9.img` and so on; the number is the namespace's id within the dump.
fn kind_of(name: &str) -> Option<Header> {
    let (kind, id) = name
        .strip_prefix("ipcns-")?
        .strip_suffix(".img")?
        .split_once('-')?;
    id.parse::<u64>().ok()?;
    match kind {
        "shm" => Some(Header::SysvShm),
        "msg" => Some(Header::SysvMsg),
        "sem" => Some(Header::SysvSem),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHM: [u8; 8] = [0x19, 0x43, 0x56, 0x54, 0x44, 0x30, 0x28, 0x46];
    const SEM: [u8; 8] = [0x19, 0x43, 0x56, 0x54, 0x19, 0x30, 0x57, 0x59];

    fn write(dir: &Path, name: &str, parts: &[&[u8]]) {
        std::fs::write(dir.join(name), parts.concat()).unwrap();
    }

    #[test]
    fn objects_go_and_everything_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "ipcns-shm-10.img", &[&SHM, b"segments"]);
        write(dir.path(), "ipcns-sem-10.img", &[&SEM]);
        write(dir.path(), "ipcns-var-10.img", &[b"sysctls"]);
        write(dir.path(), "ipcns-shm-x.img", &[b"not one"]);
        assert_eq!(
            blank_sysv(dir.path()).unwrap(),
            [dir.path().join("ipcns-shm-10.img")]
        );
        assert_eq!(std::fs::read(dir.path().join("ipcns-shm-10.img")).unwrap(), SHM);
        assert_eq!(std::fs::read(dir.path().join("ipcns-sem-10.img")).unwrap(), SEM);
        assert_eq!(
            std::fs::read(dir.path().join("ipcns-var-10.img")).unwrap(),
            b"sysctls"
        );
        assert_eq!(blank_sysv(dir.path()).unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_file_that_is_not_what_its_name_says_stops_it_before_anything_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "ipcns-shm-10.img", &[&SHM, b"segments"]);
        write(dir.path(), "ipcns-msg-10.img", &[&SEM, b"x"]);
        assert_eq!(blank_sysv(dir.path()).unwrap_err().reason(), "ImageInvalid");
        assert_eq!(
            std::fs::read(dir.path().join("ipcns-shm-10.img")).unwrap().len(),
            16
        );
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = blank_sysv(Path::new("/nonexistent")).unwrap_err();
        assert_eq!(
            (error.reason(), error.to_string().as_str()),
            ("ImageUnusable", "cannot list /nonexistent")
        );
    }
}
