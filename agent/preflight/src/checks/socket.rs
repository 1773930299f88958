//! Families and protocols of sockets that CRIU does not know ("Unsupported proto", "Unknown socket collected").

use super::report::{Place, Report};

pub(super) const CHECK: &str = "SocketUnsupported";
const MPTCP: &str = "MptcpUnsupported";
/// Both.
#[cfg(test)]
pub(super) const NAMES: &[&str] = &[CHECK, MPTCP];
const CURE: &str = "CRIU cannot make such a socket anew: close it, or restart the container at the destination with spec.restartContainers";
const CURE_MPTCP: &str = "set GODEBUG=multipathtcp=0 (Go makes its listeners so by default), or turn Multipath TCP off in the program";

/// Names of `/proc/net/protocols` that CRIU dumps, without the `v6` of IPv6.
const KNOWN: [&str; 10] = [
    "TCP",
    "UDP",
    "UDP-Lite",
    "UDPLITE",
    "PING",
    "RAW",
    "PACKET",
    "NETLINK",
    "UNIX",
    "UNIX-STREAM",
];

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    for descriptor in &place.process.descriptors {
        if descriptor.socket().is_none() {
            continue;
        }
        let Some(name) = descriptor.protocol(&place.process.proc) else {
            continue;
        };
        let object = format!("descriptor {} ({name})", descriptor.number);
        match judged(&name) {
            Judged::Known => {}
            Judged::Mptcp => report.refuse(MPTCP, place, object, "has a socket of Multipath TCP", CURE_MPTCP),
            Judged::Unknown => report.refuse(
                CHECK,
                place,
                object,
                "has a socket of a kind that cannot be moved",
                CURE,
            ),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Known,
    Mptcp,
    Unknown,
}

fn judged(name: &str) -> Judged {
    match name.strip_suffix("v6").unwrap_or(name) {
        "MPTCP" => Judged::Mptcp,
        name if KNOWN.contains(&name) => Judged::Known,
        _ => Judged::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_told_apart() {
        for name in [
            "TCP",
            "TCPv6",
            "UDP",
            "UDPv6",
            "RAWv6",
            "PINGv6",
            "UDPLITEv6",
            "UNIX",
            "UNIX-STREAM",
            "NETLINK",
            "PACKET",
        ] {
            assert_eq!(judged(name), Judged::Known, "{name}");
        }
        assert_eq!(judged("MPTCPv6"), Judged::Mptcp);
        for name in [
            "AF_VSOCK", "XDP", "SCTP", "SCTPv6", "SMC", "TIPC", "ALG", "CAN", "KCM", "",
        ] {
            assert_eq!(judged(name), Judged::Unknown, "{name}");
        }
    }
}
