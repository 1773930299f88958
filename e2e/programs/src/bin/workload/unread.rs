//! `workload unread`: asks the kernel by netlink for its links, and never reads the answer.

use std::os::fd::AsRawFd as _;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, send, socket};

use super::Failure;

pub fn unread() -> Result<(), Failure> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::empty(),
        SockProtocol::NetlinkRoute,
    )?;
    // `struct nlmsghdr` of RTM_GETLINK with REQUEST | DUMP, and a family: 20 bytes.
    let request = [20_u32, 0x0301_0012, 1, 0, 0].map(u32::to_ne_bytes).concat();
    send(netlink.as_raw_fd(), &request, MsgFlags::empty())?;
    loop {
        std::thread::park();
    }
}
