//! Forgetting connections that a node tracked in the past (`nfnetlink_conntrack.h`).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Error;
use crate::nfnetlink::{ACK, Attributes, DUMP, Nfnetlink, attribute, message};

const SUBSYSTEM: u16 = 1;
const IPV4: u8 = 2;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
/// So many connections of one address are forgotten at most; the rest runs out by itself.
const MOST: usize = 65_536;

/// A tracked connection, as far as needed to name it again.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    original: Vec<u8>,
    id: Vec<u8>,
    zone: Option<Vec<u8>>,
}

/// Sender and receiver of a tuple.
fn ends(tuple: &[u8]) -> Option<(&[u8], &[u8])> {
    let addresses = attribute(tuple, 1)?;
    Some((attribute(addresses, 1)?, attribute(addresses, 2)?))
}

/// The entry, if it is a connection to or from `address` which this node does not translate.
fn plain(body: &[u8], address: Ipv4Addr) -> Option<Entry> {
    let original = attribute(body, ORIGINAL)?;
    let (sender, receiver) = ends(original)?;
    let (answering, answered) = ends(attribute(body, REPLY)?)?;
    let here = address.octets();
    let meant = (sender, receiver) == (answered, answering) && (sender == here || receiver == here);
    meant.then(|| Entry {
        original: original.to_vec(),
        id: attribute(body, ID).unwrap_or_default().to_vec(),
        zone: attribute(body, ZONE).map(<[u8]>::to_vec),
    })
}

/// What [`remember`] has found, until it is forgotten or cancelled.
static REMEMBERED: Mutex<BTreeMap<Ipv4Addr, Vec<Entry>>> = Mutex::new(BTreeMap::new());

/// Lists the connections that [`forget`] will forget: the kernel walks its whole table for that, 10 to 20 ms, which are not to be spent in
/// the freeze. What is tracked from here on has passed through this node, and is not out of date.
pub(crate) fn remember(address: Ipv4Addr) -> Result<(), Error> {
    let found = list(&Nfnetlink::open()?, address)?;
    remembered().insert(address, found);
    Ok(())
}

/// Takes [`remember`] back.
pub(crate) fn cancel(address: Ipv4Addr) {
    remembered().remove(&address);
}

fn remembered() -> MutexGuard<'static, BTreeMap<Ipv4Addr, Vec<Entry>>> {
    REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forgets the untranslated connections of `address` in the calling thread's namespace: those that were listed before, or all of now. To be
/// used by a node through which they did not pass for a while: what it remembers of them is out of date, so it would call their next packets
/// invalid. Forgotten, they are picked up again in the middle, which the kernel does by default (`nf_conntrack_tcp_loose`).
pub(crate) fn forget(address: Ipv4Addr) -> Result<(), Error> {
    let socket = Nfnetlink::open()?;
    let before = remembered().remove(&address);
    let entries = match before {
        Some(entries) => entries,
        None => list(&socket, address)?,
    };
    for entry in entries {
        let mut name = Attributes::default().bytes(ORIGINAL | 0x8000, &entry.original);
        if !entry.id.is_empty() {
            name = name.bytes(ID, &entry.id);
        }
        if let Some(zone) = &entry.zone {
            name = name.bytes(ZONE, zone);
        }
        match socket.request(
            "forgetting a connection",
            &message(SUBSYSTEM << 8 | 2, ACK, IPV4, 0, &name),
            1,
        ) {
            Err(error) if error.errno() == Some(libc::ENOENT) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Connections of `address`; none where nothing is tracked.
fn list(socket: &Nfnetlink, address: Ipv4Addr) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    let list = message(SUBSYSTEM << 8 | 1, DUMP, IPV4, 0, &Attributes::default());
    let listed = socket.dump("listing tracked connections", &list, |body| {
        if entries.len() < MOST {
            entries.extend(plain(body, address));
        }
    });
    match listed {
        // A node without connection tracking has nothing to forget.
        Err(error)
            if matches!(
                error.errno(),
                Some(libc::EINVAL | libc::EOPNOTSUPP | libc::ENOENT)
            ) =>
        {
            return Ok(Vec::new());
        }
        other => other?,
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARRIED: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 7);

    fn tuple(from: [u8; 4], to: [u8; 4]) -> Attributes {
        Attributes::default().nest(1, &Attributes::default().bytes(1, &from).bytes(2, &to))
    }

    fn body(original: &Attributes, reply: &Attributes) -> Vec<u8> {
        let list = Attributes::default()
            .nest(ORIGINAL, original)
            .nest(REPLY, reply)
            .be32(ID, 9);
        message(0, 0, 0, 0, &list)[20..].to_vec()
    }

    #[test]
    fn only_untranslated_connections_of_the_address_are_meant() {
        let (client, here, service) = ([10, 0, 0, 1], CARRIED.octets(), [10, 96, 0, 1]);
        assert!(plain(&body(&tuple(client, here), &tuple(here, client)), CARRIED).is_some());
        assert!(plain(&body(&tuple(here, client), &tuple(client, here)), CARRIED).is_some());
        assert_eq!(
            plain(&body(&tuple(client, service), &tuple(here, client)), CARRIED),
            None,
            "translated"
        );
        assert_eq!(
            plain(&body(&tuple(here, service), &tuple(client, here)), CARRIED),
            None,
            "translated"
        );
        assert_eq!(
            plain(&body(&tuple(client, service), &tuple(service, client)), CARRIED),
            None,
            "another's"
        );
        assert_eq!(plain(&[1, 2, 3], CARRIED), None);
    }
}
