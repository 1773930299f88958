//! Netlink sockets with an answer that nobody has read ("The socket has data to read").

use super::report::{Place, Report};

pub(super) const CHECK: &str = "NetlinkUnread";

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    for descriptor in &place.process.descriptors {
        let unread = descriptor
            .socket()
            .and_then(|inode| place.scene.sockets.unread.get(&inode));
        if unread.is_some() {
            let object = format!("descriptor {}", descriptor.number);
            let cure = "let the program read its netlink socket or close it; try again if it was only busy";
            report.refuse(
                CHECK,
                place,
                object,
                "has messages of the kernel that it has not read",
                cure,
            );
        }
    }
}
