//! `/proc/PID/net/netlink` (`netlink_native_seq_show`, `net/netlink/af_netlink.c`).

use std::collections::BTreeMap;
use std::path::Path;

use godwit_proc::bounded;
use godwit_proc::field::{fields, number};

const LIMIT: usize = 100_000;

/// Sockets with something to be read, and how many bytes of the kernel's memory that takes.
pub(crate) fn unread(list: &Path) -> BTreeMap<u64, u64> {
    let mut unread = BTreeMap::new();
    let _ = bounded::lines(list, LIMIT, |line| unread.extend(parse(line)));
    unread
}

/// sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
fn parse(line: &[u8]) -> Option<(u64, u64)> {
    let mut fields = fields(line);
    let bytes = number(fields.nth(4)?, 10)?;
    let inode = number(fields.nth(4)?, 10)?;
    (bytes > 0).then_some((inode, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_understood() {
        let line = |bytes| {
            let line = format!(
                "0000000000000000 0   4711       00000440 {bytes}        0        0     2        0        1234    "
            );
            parse(line.as_bytes())
        };
        assert_eq!(line(0), None);
        assert_eq!(line(768), Some((1234, 768)));
        assert_eq!(
            parse(
                b"sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode"
            ),
            None
        );
    }
}
