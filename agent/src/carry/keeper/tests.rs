use std::path::Path;

use super::*;

#[test]
fn a_namespace_is_gone_if_nothing_or_no_namespace_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let left = directory.path().join("netns");
    assert!(is_gone(&Netns::open(&left).unwrap_err()));
    std::fs::write(&left, "").unwrap();
    let entered = Netns::open(&left).unwrap().visit(|| Ok(()));
    assert!(is_gone(&entered.unwrap_err()));
}

#[test]
fn a_namespace_out_of_reach_is_not_gone() {
    let failed = |errno: Errno| Error::Netns {
        netns: "pod".to_owned(),
        source: errno.into(),
    };
    assert!(!is_gone(&failed(Errno::EMFILE)));
    assert!(!is_gone(&failed(Errno::EPERM)));
    assert!(!is_gone(&Error::Missing("interface eth0".to_owned())));
}

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 14);

fn node(name: &str) -> NodeAt {
    NodeAt {
        name: name.to_owned(),
        address: Ipv4Addr::new(10, 0, 0, 1),
    }
}

/// This node's part for a pod of that UID.
fn part(pod_uid: &str) -> Entry {
    Entry {
        record: CarryRecord {
            version: 1,
            address: ADDRESS,
            part: carry::Part::Own {
                pod_address: Ipv4Addr::new(10, 244, 2, 5),
                device: "cni0".to_owned(),
                uplink: "eth0".to_owned(),
                old_pod: None,
                return_by: None,
            },
            relaxed: None,
        },
        home: node("home"),
        holder: node("me"),
        pod_uid: pod_uid.to_owned(),
        pod_address: Ipv4Addr::new(10, 244, 2, 5),
        netns: "/run/netns/gone".into(),
        until_pod_gone: false,
        from_pod: None,
    }
}

/// Whatever would touch the network fails here: its namespace is no namespace.
fn keeper(directory: &Path, entries: &[Entry], arrivals: &[Arrival]) -> CarryKeeper {
    let nowhere = directory.join("no-namespace");
    std::fs::write(&nowhere, "").unwrap();
    CarryKeeper {
        me: node("me"),
        host: Host::own(),
        network: Netns::open(&nowhere).unwrap(),
        directory: directory.to_path_buf(),
        entries: Mutex::new(
            entries
                .iter()
                .map(|entry| (entry.address(), entry.clone()))
                .collect(),
        ),
        arrivals: Mutex::new(
            arrivals
                .iter()
                .map(|arrival| (arrival.pod_uid.clone(), arrival.clone()))
                .collect(),
        ),
        departures: Mutex::default(),
        turns: Turns::default(),
        undisturbed: Undisturbed::default(),
    }
}

#[tokio::test]
async fn an_old_part_does_not_end_the_one_in_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let keeper = keeper(directory.path(), &[part("new")], &[]);
    keeper.end(&part("old")).await.unwrap();
    assert!(keeper.has(ADDRESS));
    // The same one would be ended, which this test cannot do.
    assert!(keeper.end(&part("new")).await.is_err());
}

#[tokio::test]
async fn nothing_ends_of_an_address_that_a_pod_is_bringing() {
    let directory = tempfile::tempdir().unwrap();
    let arrival = Arrival {
        pod_uid: "new".to_owned(),
        netns: "/run/netns/new".into(),
        entries: vec![part("new")],
    };
    let keeper = keeper(directory.path(), &[part("old")], &[arrival]);
    keeper.end(&part("old")).await.unwrap();
    let error = keeper.end_for("home", ADDRESS).await.unwrap_err();
    assert_eq!(error.reason(), "Arrives");
    assert!(keeper.has(ADDRESS));
}
