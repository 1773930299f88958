//! Multicast groups that sockets have joined: `/proc/PID/net/igmp` (`igmp_mc_seq_show`, `net/ipv4/igmp.c`) and `igmp6` (`igmp6_mc_seq_show`, `net/ipv6/mcast.c`).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use godwit_proc::bounded;
use godwit_proc::field::{fields, number};

const LIMIT: usize = 10_000;
/// All systems, and all snoopers, in which a bridge is (RFC 4286, `br_multicast_join_snoopers`).
const KERNELS: [Ipv4Addr; 2] = [Ipv4Addr::new(224, 0, 0, 1), Ipv4Addr::new(224, 0, 0, 106)];

/// All of a network namespace, without those in which the kernel is by itself.
pub(crate) fn groups(net: &Path) -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::new();
    let _ = bounded::lines(&net.join("igmp"), LIMIT, |line| {
        found.extend(
            of_ipv4(line)
                .filter(|group| !KERNELS.contains(group))
                .map(IpAddr::V4),
        );
    });
    let _ = bounded::lines(&net.join("igmp6"), LIMIT, |line| {
        found.extend(
            of_ipv6(line)
                .filter(|group| !is_the_kernels(group))
                .map(IpAddr::V6),
        );
    });
    found
}

/// Tabs, then the group as the number that it is in this machine's memory, users, timer. A line of a device begins with its number.
fn of_ipv4(line: &[u8]) -> Option<Ipv4Addr> {
    let rest = line.strip_prefix(b"\t")?;
    let group = u32::try_from(number(fields(rest).next()?, 16)?).ok()?;
    let group = Ipv4Addr::from(group.to_ne_bytes());
    group.is_multicast().then_some(group)
}

/// Index, device, group, users, flags, timer.
fn of_ipv6(line: &[u8]) -> Option<Ipv6Addr> {
    let group = std::str::from_utf8(fields(line).nth(2)?).ok()?;
    if group.len() != 32 {
        return None;
    }
    u128::from_str_radix(group, 16).ok().map(Ipv6Addr::from)
}

/// All nodes, all routers, all snoopers, and the group by which neighbours look for an address (RFC 4291, 2.7.1; RFC 4286).
fn is_the_kernels(group: &Ipv6Addr) -> bool {
    match group.segments() {
        [0xff01..=0xff0f, 0, 0, 0, 0, 0, 0, 1 | 2 | 0x6a] => true,
        [0xff02, 0, 0, 0, 0, 1, last, _] => last >> 8 == 0xff,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_understood() {
        assert_eq!(
            of_ipv4(b"Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter"),
            None
        );
        assert_eq!(of_ipv4(b"4\teth0      :     1      V3"), None);
        if cfg!(target_endian = "little") {
            let line = b"\t\t\t\t030201EF     1 0:00000000\t\t0";
            assert_eq!(of_ipv4(line), Some(Ipv4Addr::new(239, 1, 2, 3)));
        }
        let line = b"4    eth0            ff020000000000000000000000000001     1 0000000C 0";
        let group = of_ipv6(line).unwrap();
        assert_eq!(group, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
        assert!(is_the_kernels(&group));
        for line in ["", "4 eth0", "4 eth0 ff02"] {
            assert_eq!(of_ipv6(line.as_bytes()), None);
        }
    }

    #[test]
    fn a_bridge_is_no_program() {
        let dir = tempfile::tempdir().unwrap();
        let number = |group: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(group));
        let lines = [[224, 0, 0, 1], [224, 0, 0, 106], [239, 1, 2, 3]]
            .map(|group| format!("\t\t\t\t{}     1 0:00000000\t\t0\n", number(group)));
        std::fs::write(
            dir.path().join("igmp"),
            format!("Idx\tDevice\n4\tcni0      :     3      V3\n{}", lines.concat()),
        )
        .unwrap();
        assert_eq!(
            groups(dir.path()),
            BTreeSet::from([IpAddr::V4(Ipv4Addr::new(239, 1, 2, 3))])
        );
    }

    #[test]
    fn groups_of_programs_are_told_from_the_kernels() {
        for (text, is) in [
            ("ff02::1:ff40:789d", true),
            ("ff01::1", true),
            ("ff02::fb", false),
            ("ff15::1234", false),
        ] {
            assert_eq!(is_the_kernels(&text.parse().unwrap()), is, "{text}");
        }
    }
}
