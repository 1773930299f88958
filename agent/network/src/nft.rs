//! nftables: tables of Godwit, replaced or changed as a whole in one transaction.
//!
//! Numbers are from the kernel's `nf_tables.h`. The family is always `inet`, so that one table serves IPv4 and IPv6.

use std::net::Ipv4Addr;

use crate::Error;
use crate::TABLE_PREFIX;
use crate::nfnetlink::{ACK, APPEND, Attributes, CREATE, DUMP, Nfnetlink, attribute, message};

const INET: u8 = 1;
const SUBSYSTEM: u16 = 10;
const REGISTER: u32 = 1;
const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// Where a chain is hooked in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hook {
    Prerouting,
    Output,
}

/// Priority of `raw`: before connection tracking sees the packet.
const RAW: i32 = -300;

/// What becomes of packets for a queue that nobody owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unowned {
    /// They go on with the next rule.
    Pass,
    /// They vanish.
    Vanish,
}

impl Unowned {
    /// `NFT_QUEUE_FLAG_BYPASS`, which has the value of `NFQ_FLAG_BYPASS`.
    fn flag(self) -> u16 {
        u16::from(self == Self::Pass)
    }
}

/// How a rule sends packets to a queue.
pub(crate) type ToQueue = fn(Rule, u16, Unowned) -> Rule;

/// A base chain with its rules.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    pub(crate) hook: Hook,
    pub(crate) rules: Vec<Rule>,
}

/// A rule: expressions from left to right.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rule(Attributes);

impl Rule {
    fn expression(self, name: &str, data: &Attributes) -> Self {
        let element = Attributes::default().text(1, name).nest(2, data);
        Self(self.0.nest(1, &element))
    }

    fn meta(self, key: u32) -> Self {
        self.expression("meta", &Attributes::default().be32(1, REGISTER).be32(2, key))
    }

    fn compare(self, operator: u32, value: &[u8]) -> Self {
        let data = Attributes::default().bytes(1, value);
        self.expression(
            "cmp",
            &Attributes::default()
                .be32(1, REGISTER)
                .be32(2, operator)
                .nest(3, &data),
        )
    }

    /// What was loaded last, and only these bits of it.
    fn masked(self, mask: &[u8]) -> Self {
        let length = u32::try_from(mask.len()).unwrap_or_default();
        let value = |bytes: &[u8]| Attributes::default().bytes(1, bytes);
        self.expression(
            "bitwise",
            &Attributes::default()
                .be32(1, REGISTER)
                .be32(2, REGISTER)
                .be32(3, length)
                .nest(4, &value(mask))
                .nest(5, &value(&vec![0; mask.len()])),
        )
    }

    fn payload(self, base: u32, offset: u32, length: u32) -> Self {
        self.expression(
            "payload",
            &Attributes::default()
                .be32(1, REGISTER)
                .be32(2, base)
                .be32(3, offset)
                .be32(4, length),
        )
    }

    /// Incoming interface is this one.
    pub(crate) fn input_is(self, index: u32) -> Self {
        self.meta(4).compare(0, &index.to_ne_bytes())
    }

    /// Incoming interface is not this one.
    pub(crate) fn input_is_not(self, index: u32) -> Self {
        self.meta(4).compare(1, &index.to_ne_bytes())
    }

    fn ipv4(self) -> Self {
        self.meta(15).compare(0, &[IPV4])
    }

    pub(crate) fn source_is(self, address: Ipv4Addr) -> Self {
        self.ipv4().payload(1, 12, 4).compare(0, &address.octets())
    }

    pub(crate) fn destination_is(self, address: Ipv4Addr) -> Self {
        self.ipv4().payload(1, 16, 4).compare(0, &address.octets())
    }

    /// The sender's Ethernet address; only for chains in which it exists (prerouting).
    pub(crate) fn ethernet_source_is(self, address: [u8; 6]) -> Self {
        self.payload(0, 6, 6).compare(0, &address)
    }

    /// The route to the packet's destination leaves by this interface (`fib daddr oif`).
    pub(crate) fn destination_leaves_by(self, index: u32) -> Self {
        self.expression(
            "fib",
            &Attributes::default().be32(1, REGISTER).be32(2, 1).be32(3, 2),
        )
        .compare(0, &index.to_ne_bytes())
    }

    /// The route back to the sender does not leave by this interface (`fib saddr oif`): the sender is on this node.
    pub(crate) fn sender_is_not_behind(self, index: u32) -> Self {
        let lookup = Attributes::default().be32(1, REGISTER).be32(2, 1).be32(3, 1);
        self.expression("fib", &lookup).compare(1, &index.to_ne_bytes())
    }

    /// The first packet of a TCP connection: SYN without ACK.
    pub(crate) fn opens_a_connection(self) -> Self {
        const TCP: u8 = 6;
        const SYN: u8 = 0x02;
        const ACK_BIT: u8 = 0x10;
        self.meta(16)
            .compare(0, &[TCP])
            .payload(2, 13, 1)
            .masked(&[SYN | ACK_BIT])
            .compare(0, &[SYN])
    }

    /// Neighbour discovery (`ICMPv6` types 133 to 137).
    pub(crate) fn neighbour_discovery(self) -> Self {
        self.meta(15)
            .compare(0, &[IPV6])
            .meta(16)
            .compare(0, &[58])
            .payload(2, 0, 1)
            .compare(5, &[133])
            .compare(3, &[137])
    }

    /// An ICMP redirect about this destination: the dropped packet's header begins 8 bytes into the ICMP message.
    pub(crate) fn redirect_about(self, address: Ipv4Addr) -> Self {
        self.ipv4()
            .meta(16)
            .compare(0, &[1])
            .payload(2, 0, 1)
            .compare(0, &[5])
            .payload(2, 24, 4)
            .compare(0, &address.octets())
    }

    fn verdict(self, code: u32) -> Self {
        let verdict = Attributes::default().be32(1, code);
        let data = Attributes::default().nest(2, &verdict);
        self.expression("immediate", &Attributes::default().be32(1, 0).nest(2, &data))
    }

    pub(crate) fn accept(self) -> Self {
        self.verdict(1)
    }

    pub(crate) fn drop_packet(self) -> Self {
        self.verdict(0)
    }

    pub(crate) fn notrack(self) -> Self {
        self.expression("notrack", &Attributes::default())
    }

    /// To a user-space queue: nftables' own statement.
    pub(crate) fn queue(self, number: u16, unowned: Unowned) -> Self {
        self.expression(
            "queue",
            &Attributes::default()
                .be16(1, number)
                .be16(2, 1)
                .be16(3, unowned.flag()),
        )
    }

    /// The same by the xtables target NFQUEUE, revision 3, as `iptables-nft` installs it.
    pub(crate) fn queue_by_xtables(self, number: u16, unowned: Unowned) -> Self {
        // struct xt_NFQ_info_v3 {queuenum, queues_total, flags}, padded to 8 bytes by XT_ALIGN; flag 1 is bypass.
        let mut info = [0; 8];
        info[..2].copy_from_slice(&number.to_ne_bytes());
        info[2..4].copy_from_slice(&1_u16.to_ne_bytes());
        info[4..6].copy_from_slice(&unowned.flag().to_ne_bytes());
        self.expression(
            "target",
            &Attributes::default()
                .text(1, "NFQUEUE")
                .be32(2, 3)
                .bytes(3, &info),
        )
    }
}

/// [`replace`] with rules that send packets to a queue, by whichever way this kernel has. Fails with [`Error::NoQueue`] if it has none.
pub(crate) fn replace_queueing(table: &str, chains: impl Fn(ToQueue) -> Vec<Chain>) -> Result<(), Error> {
    let mut result = Err(Error::NoQueue);
    for way in [Rule::queue, Rule::queue_by_xtables] {
        result = match replace(table, &chains(way)) {
            Err(error) if is_missing(&error) => Err(Error::NoQueue),
            other => return other,
        };
    }
    result
}

fn is_missing(error: &Error) -> bool {
    matches!(
        error.errno(),
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT)
    )
}

/// A transaction on one table.
struct Batch {
    bytes: Vec<u8>,
    messages: usize,
}

impl Batch {
    fn new() -> Self {
        Self {
            bytes: message(0x10, 0, 0, SUBSYSTEM, &Attributes::default()),
            messages: 0,
        }
    }

    fn add(&mut self, kind: u16, flags: u16, attributes: &Attributes) {
        self.bytes
            .extend(message(SUBSYSTEM << 8 | kind, flags | ACK, INET, 0, attributes));
        self.messages += 1;
    }

    fn table(&mut self, table: &str) {
        self.add(0, CREATE, &Attributes::default().text(1, table));
    }

    fn remove_table(&mut self, table: &str) {
        // Made first, so that removing it cannot fail because it does not exist.
        self.table(table);
        self.add(2, 0, &Attributes::default().text(1, table));
    }

    fn chain(&mut self, table: &str, chain: &Chain) {
        let hook = match chain.hook {
            Hook::Prerouting => 0,
            Hook::Output => 3,
        };
        let hook = Attributes::default().be32(1, hook).be32(2, RAW.cast_unsigned());
        self.add(
            3,
            CREATE,
            &Attributes::default()
                .text(1, table)
                .text(3, chain.name)
                .nest(4, &hook)
                .text(7, "filter"),
        );
        self.rules(table, chain.name, &chain.rules);
    }

    fn rules(&mut self, table: &str, chain: &str, rules: &[Rule]) {
        for rule in rules {
            self.add(
                6,
                CREATE | APPEND,
                &Attributes::default()
                    .text(1, table)
                    .text(2, chain)
                    .nest(4, &rule.0),
            );
        }
    }

    fn commit(mut self, what: &str) -> Result<(), Error> {
        self.bytes
            .extend(message(0x11, 0, 0, SUBSYSTEM, &Attributes::default()));
        Nfnetlink::open()?.request(what, &self.bytes, self.messages)
    }
}

/// Puts a table in place of whatever has that name.
pub(crate) fn replace(table: &str, chains: &[Chain]) -> Result<(), Error> {
    let mut batch = Batch::new();
    batch.remove_table(table);
    batch.table(table);
    for chain in chains {
        batch.chain(table, chain);
    }
    batch.commit(&format!("installing the nftables table {table}"))
}

/// Replaces the rules of a chain that exists. The chain stays hooked in: when a chain is unhooked, the kernel drops
/// every packet that is queued in the whole namespace (`nf_unregister_net_hook`).
pub(crate) fn replace_rules(table: &str, chain: &str, rules: &[Rule]) -> Result<(), Error> {
    let mut batch = Batch::new();
    batch.add(8, 0, &Attributes::default().text(1, table).text(2, chain));
    batch.rules(table, chain, rules);
    batch.commit(&format!("changing the nftables table {table}"))
}

/// Removes a table, if it is there.
pub(crate) fn remove(table: &str) -> Result<(), Error> {
    let mut batch = Batch::new();
    batch.remove_table(table);
    batch.commit(&format!("removing the nftables table {table}"))
}

/// The names of Godwit's tables, sorted.
pub(crate) fn list() -> Result<Vec<String>, Error> {
    let request = message(SUBSYSTEM << 8 | 1, DUMP, INET, 0, &Attributes::default());
    let mut names = Vec::new();
    Nfnetlink::open()?.dump("listing nftables tables", &request, |body| {
        let name = attribute(body, 1).and_then(|name| std::str::from_utf8(name.strip_suffix(&[0])?).ok());
        names.extend(
            name.filter(|name| name.starts_with(TABLE_PREFIX))
                .map(ToOwned::to_owned),
        );
    })?;
    names.sort();
    Ok(names)
}
