//! Network sysctls of the namespace in which the calling thread is.

use std::fs;
use std::io;

use crate::Error;

/// Writes `/proc/sys/net/NAME`, for example `ipv4/ip_forward`.
pub(crate) fn write(name: &str, value: &str) -> Result<(), Error> {
    fs::write(format!("/proc/sys/net/{name}"), value)
        .map_err(|source| Error::kernel(format!("setting net/{name} to {value}"), source))
}

/// Reads `/proc/sys/net/NAME`, without the line end.
pub(crate) fn read(name: &str) -> Result<String, Error> {
    let text = fs::read_to_string(format!("/proc/sys/net/{name}"))
        .map_err(|source| Error::kernel(format!("reading net/{name}"), source))?;
    Ok(text.trim_end().to_owned())
}

/// Like [`write`], for a setting that this kernel or interface may lack.
pub(crate) fn write_if_there(name: &str, value: &str) -> Result<(), Error> {
    match write(name, value) {
        Err(Error::Kernel { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
