//! Extended attributes, exactly.

use std::os::fd::AsFd;

use rustix::fs::XattrFlags;
use rustix::io::{Errno, Result};

use crate::beneath::proc_path;
use crate::limit;

/// One extended attribute with its full name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Xattr {
    pub name: Vec<u8>,
    pub value: Vec<u8>,
}

/// The node's own: labels of its security modules, which differ between nodes and containers and are set by them.
const OF_THE_NODE: [&[u8]; 3] = [b"security.selinux", b"security.evm", b"security.ima"];

/// All attributes of `name` in `dir` (of `dir` itself if empty), never following a link; none where the file system has none.
///
/// Errors: `E2BIG` above the bounds of the format, else as the kernel says.
pub(crate) fn read(dir: impl AsFd, name: &[u8]) -> Result<Vec<Xattr>> {
    let path = proc_path(&dir, name);
    // An empty name means the directory or file behind the descriptor: the magic link itself has to be followed.
    let this = name.is_empty();
    let mut list = [0_u8; 512];
    let listed = if this {
        rustix::fs::listxattr(&path, &mut list[..])
    } else {
        rustix::fs::llistxattr(&path, &mut list[..])
    };
    let names = match listed {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Ok(len) => list[..len].to_vec(),
        // The kernel bounds the list at 64 KiB.
        Err(Errno::RANGE) => {
            let mut long = vec![0_u8; 64 * 1024];
            let len = if this {
                rustix::fs::listxattr(&path, &mut long[..])
            } else {
                rustix::fs::llistxattr(&path, &mut long[..])
            }?;
            long.truncate(len);
            long
        }
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    let mut total = 0;
    for name in names
        .split(|&b| b == 0)
        .filter(|name| !name.is_empty() && !OF_THE_NODE.contains(name))
    {
        // The kernel bounds a value at 64 KiB. A small buffer first: most values are a few bytes.
        let mut small = [0_u8; 256];
        let got = if this {
            rustix::fs::getxattr(&path, name, &mut small[..])
        } else {
            rustix::fs::lgetxattr(&path, name, &mut small[..])
        };
        let value = match got {
            Ok(len) => small[..len].to_vec(),
            Err(Errno::RANGE) => {
                let mut long = vec![0_u8; 64 * 1024];
                let len = if this {
                    rustix::fs::getxattr(&path, name, &mut long[..])
                } else {
                    rustix::fs::lgetxattr(&path, name, &mut long[..])
                }?;
                long.truncate(len);
                long
            }
            // Removed since the list was made, or a lister that names what it does not have.
            Err(Errno::NODATA) => continue,
            Err(error) => return Err(error),
        };
        total += name.len() + value.len();
        if found.len() == limit::XATTRS || total > limit::XATTR_BYTES {
            return Err(Errno::TOOBIG);
        }
        found.push(Xattr {
            name: name.to_vec(),
            value,
        });
    }
    Ok(found)
}

/// Gives `name` in `dir` (`dir` itself if empty) exactly the attributes `wanted`: what is there beyond them, inherited from a default ACL say, goes.
///
/// Errors: the name of the refused attribute (empty: the list itself) and what the kernel said.
pub(crate) fn write(
    dir: impl AsFd,
    name: &[u8],
    wanted: &[Xattr],
) -> std::result::Result<(), (Vec<u8>, Errno)> {
    let path = proc_path(&dir, name);
    let this = name.is_empty();
    let present = read(&dir, name).map_err(|errno| (Vec::new(), errno))?;
    for extra in present
        .iter()
        .filter(|p| !wanted.iter().any(|w| w.name == p.name))
    {
        let name = extra.name.as_slice();
        let gone = if this {
            rustix::fs::removexattr(&path, name)
        } else {
            rustix::fs::lremovexattr(&path, name)
        };
        gone.map_err(|errno| (extra.name.clone(), errno))?;
    }
    for attribute in wanted.iter().filter(|w| !present.contains(w)) {
        let (name, value, flags) = (
            attribute.name.as_slice(),
            attribute.value.as_slice(),
            XattrFlags::empty(),
        );
        let set = if this {
            rustix::fs::setxattr(&path, name, value, flags)
        } else {
            rustix::fs::lsetxattr(&path, name, value, flags)
        };
        set.map_err(|errno| (attribute.name.clone(), errno))?;
    }
    Ok(())
}
