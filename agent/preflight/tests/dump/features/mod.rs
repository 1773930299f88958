//! Programs that use one feature each. They run as the first process of a container, and give an error text if this machine lacks the feature.

pub mod descriptors;
pub mod files;
pub mod processes;
pub mod sockets;

/// What each gives.
pub type Tried = Result<(), String>;

/// A system call's result, or why it failed.
pub fn call(what: &str, result: i64) -> Result<i32, String> {
    if result < 0 {
        Err(format!("{what}: {}", std::io::Error::last_os_error()))
    } else {
        Ok(i32::try_from(result).unwrap_or(i32::MAX))
    }
}

/// Nothing at all.
pub fn nothing() -> Tried {
    Ok(())
}
