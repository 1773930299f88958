//! Three "nodes" with pod bridges, in network namespaces of their own, as a bridge CNI makes them.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use godwit_network::Netns;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Namespaces that vanish at the end, with all that is in them.
pub struct Lab {
    prefix: String,
    names: Vec<String>,
}

impl Lab {
    pub fn new() -> Self {
        // A run that was killed leaves its own, and PIDs come again.
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("gwt-{}-{now}-{number}-", std::process::id());
        Self {
            prefix,
            names: Vec::new(),
        }
    }

    pub fn netns(&mut self, name: &str) -> Netns {
        let full = format!("{}{name}", self.prefix);
        shell(&format!("ip netns add {full}"));
        self.names.push(full);
        let netns = self.get(name);
        within(&netns, "ip link set lo up");
        netns
    }

    pub fn get(&self, name: &str) -> Netns {
        Netns::open(Path::new(&format!("/run/netns/{}{name}", self.prefix))).unwrap()
    }

    pub fn path(&self, name: &str) -> String {
        format!("/run/netns/{}{name}", self.prefix)
    }

    pub fn delete(&mut self, name: &str) {
        let full = format!("{}{name}", self.prefix);
        shell(&format!("ip netns del {full}"));
        self.names.retain(|other| *other != full);
    }

    /// A veth pair: `a` in `left`, `b` in `right`.
    pub fn veth(&self, left: &str, a: &str, right: &str, b: &str) {
        shell(&format!(
            "ip link add {a} netns {p}{left} type veth peer name {b} netns {p}{right}; \
             ip -n {p}{left} link set {a} up; ip -n {p}{right} link set {b} up",
            p = self.prefix
        ));
    }

    /// Nodes n1..n3 on one wire (10.77.0.1N), each with a pod bridge cni0 (10.244.N.1/24) and strict filters.
    pub fn nodes(&mut self) {
        self.netns("wire");
        within(
            &self.get("wire"),
            "ip link add br0 type bridge; ip link set br0 up",
        );
        for n in 1..=3 {
            let node = self.netns(&format!("n{n}"));
            self.veth(&format!("n{n}"), "eth0", "wire", &format!("to{n}"));
            within(&self.get("wire"), &format!("ip link set to{n} master br0"));
            within(
                &node,
                &format!(
                    "ip addr add 10.77.0.1{n}/24 dev eth0; ip link add cni0 type bridge; ip addr add 10.244.{n}.1/24 dev cni0; \
                     ip link set cni0 up; sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1 net.ipv4.conf.cni0.rp_filter=1"
                ),
            );
            for other in (1..=3).filter(|other| *other != n) {
                within(
                    &node,
                    &format!("ip route add 10.244.{other}.0/24 via 10.77.0.1{other}"),
                );
            }
            within(&node, "ip route add default via 10.77.0.1 rto_min 5s");
            // As kube-proxy does. And, as some CNIs do: what a pod sends out of the cluster gets the node's address.
            within(
                &node,
                "nft 'add table ip kube; add chain ip kube f { type filter hook forward priority 0; }; add rule ip kube f ct state invalid counter drop; \
                 add chain ip kube post { type nat hook postrouting priority 100; }; \
                 add rule ip kube post ip saddr 10.244.0.0/16 ip daddr != { 10.244.0.0/16, 10.77.0.0/24 } masquerade; \
                 add chain ip kube pre { type nat hook prerouting priority -100; }; add chain ip kube out { type nat hook output priority -100; }'",
            );
        }
    }

    /// A pod on node `n` with address 10.244.n.host; a lost packet of its connections costs five seconds.
    pub fn pod(&mut self, name: &str, n: u8, host: u8) -> Netns {
        let pod = self.netns(name);
        self.veth(name, "eth0", &format!("n{n}"), &format!("v{name}"));
        within(
            &self.get(&format!("n{n}")),
            &format!("ip link set v{name} master cni0"),
        );
        within(
            &pod,
            &format!(
                "ip addr add 10.244.{n}.{host}/24 dev eth0; ip route replace default via 10.244.{n}.1 rto_min 5s; \
                 ip route replace 10.244.{n}.0/24 dev eth0 src 10.244.{n}.{host} rto_min 5s"
            ),
        );
        pod
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

pub fn shell(script: &str) {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(
        output.status.success(),
        "{script}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs a script in a namespace; gives its output.
pub fn within(netns: &Netns, script: &str) -> String {
    netns
        .visit(|| {
            let output = Command::new("sh").args(["-ec", script]).output().unwrap();
            assert!(
                output.status.success(),
                "{script}\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        })
        .unwrap()
}
