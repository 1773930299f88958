//! A userfaultfd of another process, used only to track writes (Documentation/admin-guide/mm/userfaultfd.rst, "Write protect
//! notifications"; include/uapi/linux/userfaultfd.h).

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;

const API: u64 = 0xaa;
const FEATURE_WP: u64 = 1;
const FEATURE_WP_UNPOPULATED: u64 = 1 << 13;
const FEATURE_WP_ASYNC: u64 = 1 << 15;
const MODE_WP: u64 = 1 << 1;

/// `struct uffdio_api`.
#[repr(C)]
#[derive(Default)]
struct Handshake {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
#[derive(Default)]
struct Register {
    start: u64,
    length: u64,
    mode: u64,
    ioctls: u64,
}

nix::ioctl_readwrite!(
    /// `UFFDIO_API`.
    uffdio_api, 0xaa, 0x3f, Handshake
);
nix::ioctl_readwrite!(
    /// `UFFDIO_REGISTER`.
    uffdio_register, 0xaa, 0x00, Register
);

/// The descriptor. Closing it ends all tracking and leaves the mappings as they were.
#[derive(Debug)]
pub struct Userfaultfd(OwnedFd);

impl Userfaultfd {
    /// Begins to use a fresh descriptor: asynchronous write-protection, no events. `EINVAL` if the kernel has none (before 6.7).
    pub fn begin(fd: OwnedFd) -> Result<Self, Errno> {
        let mut handshake = Handshake {
            api: API,
            features: FEATURE_WP | FEATURE_WP_UNPOPULATED | FEATURE_WP_ASYNC,
            ioctls: 0,
        };
        // SAFETY: the descriptor is open and the structure is live and of the kernel's layout.
        unsafe { uffdio_api(fd.as_raw_fd(), &raw mut handshake) }?;
        Ok(Self(fd))
    }

    /// Registers all mappings between two addresses; again is no error. `ESRCH` if that memory is gone (the process has ended or has
    /// begun another program), `EINVAL` if there is none or an unsuitable mapping in between, `EBUSY` if one belongs to another
    /// userfaultfd.
    pub fn register(&self, start: u64, end: u64) -> Result<(), Errno> {
        let mut register = Register {
            start,
            length: end.saturating_sub(start),
            mode: MODE_WP,
            ioctls: 0,
        };
        loop {
            // SAFETY: the descriptor is open and the structure is live and of the kernel's layout.
            match unsafe { uffdio_register(self.0.as_raw_fd(), &raw mut register) } {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
