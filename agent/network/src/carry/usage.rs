//! Whether anything still needs a carried address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::socket_list::{MOST, SocketList};
use crate::{Error, Netns};

const TIME_WAIT: u8 = 6;
const CLOSE: u8 = 7;

/// Whether a socket in the pod's namespace uses `address`: a TCP connection that is not closed yet, or any socket bound
/// to just this address. Fails with [`Error::Malformed`] if there are too many sockets to tell.
pub async fn in_use(pod: &Netns, address: Ipv4Addr) -> Result<bool, Error> {
    pod.run("looking for connections", move || {
        for (list, tcp) in [
            ("tcp", true),
            ("tcp6", true),
            ("udp", false),
            ("udp6", false),
            ("udplite", false),
            ("raw", false),
        ] {
            if list_uses(list, tcp, address)? {
                return Ok(true);
            }
        }
        Ok(false)
    })
    .await
}

fn list_uses(list: &str, tcp: bool, address: Ipv4Addr) -> Result<bool, Error> {
    let Some(mut sockets) = SocketList::open(list)? else {
        return Ok(false);
    };
    let mut seen = 0;
    while let Some(line) = sockets.next().transpose()? {
        seen += line.len() as u64 + 1;
        if seen >= MOST {
            return Err(sockets.malformed());
        }
        let (local, state) = parse(&line).ok_or_else(|| sockets.malformed())?;
        if local == IpAddr::V4(address) && !(tcp && matches!(state, TIME_WAIT | CLOSE)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Local address (IPv4 also if mapped into IPv6) and state of a line such as `0: 0100007F:1F90 00000000:0000 0A …`.
fn parse(line: &str) -> Option<(IpAddr, u8)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (address, _port) = fields.next()?.split_once(':')?;
    let state = u8::from_str_radix(fields.nth(1)?, 16).ok()?;
    // Each 32-bit word is printed as a number of the machine's byte order.
    let word = |at: usize| {
        Some(
            u32::from_str_radix(address.get(at..at + 8)?, 16)
                .ok()?
                .to_ne_bytes(),
        )
    };
    let local = match address.len() {
        8 => IpAddr::V4(word(0)?.into()),
        32 => {
            let mut bytes = [0; 16];
            for (index, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(index * 8)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some((local, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel() {
        let four =
            "   0: 0701F40A:18EB 0901F40A:A1B2 01 00000000:00000000 00:00000000 00000000     0        0 1 1";
        assert_eq!(parse(four), Some((IpAddr::V4(Ipv4Addr::new(10, 244, 1, 7)), 1)));
        let mapped = "0: 0000000000000000FFFF00000701F40A:18EB 00000000000000000000000000000000:0000 0A 0:0";
        assert_eq!(
            parse(mapped),
            Some((IpAddr::V4(Ipv4Addr::new(10, 244, 1, 7)), 10))
        );
        for broken in [
            "",
            "0:",
            "0: 0701F40A 0 01",
            "0: 0701F4:1 0:0 01",
            "0: 0701F40A:1 0:0 zz",
            "0: é701F40:1 0:0 01",
        ] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }
}
