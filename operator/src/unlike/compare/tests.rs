use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn facts(change: impl FnOnce(&mut Value)) -> NodeFacts {
    let mut value = json!({
        "cpu": "x86_64;avx,avx2,sse2;xsave.size=832", "pageSize": 4096,
        "criu": {"version": "4.2", "features": {"uffd-noncoop": true, "timens": true, "clone3_set_tid": true, "pagemap_scan_guard_pages": true}},
        "cgroup": {"version": 2}, "lsm": "apparmor", "seccomp": ["allow", "kill_process", "log"], "pidMax": 4_194_304, "hugePages": "madvise", "packetQueues": true,
        "protocol": {"oldest": 1, "newest": 2},
    });
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

/// What is found when the destination differs from the source so: reason, and whether it refuses.
fn found(change: impl FnOnce(&mut Value)) -> Vec<(&'static str, bool)> {
    let unlike = compare(("n1", &facts(|_| {})), ("n2", &facts(change)), true);
    for it in &unlike {
        assert!(
            it.message.contains("n2") && it.message.len() < 400,
            "{}",
            it.message
        );
        assert!(it.check.refuses.contains(it.reason), "{}", it.reason);
        assert!(!(it.refuses && it.check.only_warns()), "{}", it.reason);
    }
    unlike.iter().map(|it| (it.reason, it.refuses)).collect()
}

#[test]
fn like_nodes_have_nothing_to_find() {
    assert_eq!(found(|_| {}), []);
}

#[test]
fn each_difference_is_found_once_and_by_its_name() {
    let cases: [(&str, Value, &str, bool); 19] = [
        (
            "/cpu",
            json!("x86_64;avx,sse2;xsave.size=832"),
            "CpuIncompatible",
            true,
        ),
        (
            "/cpu",
            json!("x86_64;avx,avx2,sse2;xsave.size=576"),
            "CpuIncompatible",
            true,
        ),
        ("/cpu", json!("aarch64;;"), "ArchitectureDiffers", true),
        ("/pageSize", json!(65_536), "PageSizeDiffers", true),
        (
            "/cgroup",
            json!({"version": 1, "hierarchies": ["cpu"]}),
            "CgroupsDiffer",
            true,
        ),
        ("/criu/version", json!("4.1.1"), "CriuOlder", true),
        ("/criu/version", json!("3.19"), "CriuOlder", true),
        (
            "/protocol",
            json!({"oldest": 3, "newest": 4}),
            "VersionMismatch",
            true,
        ),
        (
            "/criu/features/uffd-noncoop",
            json!(false),
            "UserfaultfdMissing",
            true,
        ),
        ("/criu/features/timens", json!(false), "ClocksNotKept", true),
        ("/packetQueues", json!(false), "NoPacketQueue", true),
        ("/lsm", json!("none"), "SecurityModuleDiffers", true),
        ("/lsm", json!("selinux"), "SecurityModuleDiffers", true),
        (
            "/seccomp",
            json!(["allow", "kill_process", "trace"]),
            "SeccompDiffers",
            true,
        ),
        ("/seccomp", json!([]), "SeccompDiffers", true),
        (
            "/criu/features/clone3_set_tid",
            json!(false),
            "SetTidMissing",
            false,
        ),
        ("/pidMax", json!(32_768), "PidMaxLower", false),
        (
            "/criu/features/pagemap_scan_guard_pages",
            json!(false),
            "GuardPagesMissing",
            false,
        ),
        ("/hugePages", json!("always"), "HugePagesDiffer", false),
    ];
    for (path, value, reason, refuses) in cases {
        let set = |facts: &mut Value| *facts.pointer_mut(path).unwrap() = value.clone();
        assert_eq!(found(set), [(reason, refuses)], "{path} {value}");
    }
}

#[test]
fn what_is_better_at_the_destination_is_fine() {
    for (path, value) in [
        ("/cpu", json!("x86_64;avx,avx2,avx512f,sse2;xsave.size=832")),
        ("/criu/version", json!("4.2.1")),
        ("/criu/version", json!("4.10")),
        ("/criu/version", json!("5.0-dev")),
        ("/protocol", json!({"oldest": 2, "newest": 9})),
        ("/seccomp", json!(["allow", "kill_process", "log", "later"])),
        ("/pidMax", json!(u64::MAX)),
        ("/hugePages", json!("never")),
    ] {
        let set = |facts: &mut Value| *facts.pointer_mut(path).unwrap() = value.clone();
        assert_eq!(found(set), [], "{path} {value}");
    }
}

#[test]
fn what_is_not_known_is_not_compared() {
    for field in [
        "cpu",
        "pageSize",
        "criu",
        "cgroup",
        "lsm",
        "pidMax",
        "hugePages",
        "packetQueues",
        "protocol",
    ] {
        assert_eq!(
            found(|facts| {
                facts.as_object_mut().unwrap().remove(field);
            }),
            [],
            "{field}"
        );
    }
    assert_eq!(found(|facts| facts["criu"]["version"] = json!("unknown")), []);
    assert_eq!(found(|facts| facts["criu"]["features"] = json!({})), []);
}

#[test]
fn userfaultfd_matters_only_where_memory_is_filled_in() {
    let without = facts(|facts| facts["criu"]["features"]["uffd-noncoop"] = json!(false));
    assert_eq!(compare(("n1", &facts(|_| {})), ("n2", &without), false), []);
}

#[test]
fn packets_must_be_queued_on_both_nodes() {
    let without = facts(|facts| facts["packetQueues"] = json!(false));
    let unlike = compare(("n1", &without), ("n2", &facts(|_| {})), true);
    assert_eq!(unlike[0].reason, "NoPacketQueue");
    assert!(unlike[0].message.contains("node n1"));
}

#[test]
fn clocks_are_lost_whichever_node_lacks_time_namespaces_unless_it_is_one_node() {
    let without = facts(|facts| facts["criu"]["features"]["timens"] = json!(false));
    let unlike = compare(("n1", &without), ("n2", &facts(|_| {})), true);
    assert_eq!(unlike[0].reason, "ClocksNotKept");
    assert!(unlike[0].message.contains("node n1"));
    assert_eq!(compare(("n1", &without), ("n1", &without), true), []);
}

#[test]
fn a_module_at_the_destination_only_is_a_warning() {
    let without = facts(|facts| facts["lsm"] = json!("none"));
    let unlike = compare(("n1", &without), ("n2", &facts(|_| {})), true);
    assert_eq!(
        (unlike[0].reason, unlike[0].refuses),
        ("SecurityModuleDiffers", false)
    );
}

#[test]
fn the_message_names_features_and_class() {
    let poor = facts(|facts| facts["cpu"] = json!("x86_64;sse2;xsave.size=832"));
    let rich = facts(|_| {});
    let unlike = compare(("n1", &rich), ("n2", &poor), true);
    let class = rich.cpu.unwrap().class();
    assert!(
        unlike[0].message.contains("lacks avx, avx2,") && unlike[0].message.contains(&class),
        "{}",
        unlike[0].message
    );
}

#[test]
fn versions_are_compared_by_their_numbers() {
    assert_eq!(version("4.2.1"), Some(vec![4, 2, 1]));
    assert_eq!(version("4.2-12-gabc"), Some(vec![4, 2]));
    assert_eq!(version("99999999999.1"), None);
    assert_eq!(version(""), None);
    assert!(version("4.10") > version("4.9"));
}

proptest! {
    #[test]
    fn facts_of_a_foreign_hand_are_compared_without_harm(
        here in "[\\[\\]{}\":,a-z0-9;= .-]{0,200}", pages in any::<u64>(), criu in ".{0,40}", oldest in any::<u32>(), newest in any::<u32>(),
    ) {
        let foreign = facts(|facts| {
            facts["pageSize"] = json!(pages);
            facts["criu"]["version"] = json!(criu);
            facts["protocol"] = json!({"oldest": oldest, "newest": newest});
            facts["hugePages"] = json!(here);
            facts["seccomp"] = json!([here.repeat(20)]);
        });
        let ours = facts(|_| {});
        for unlike in compare(("n1", &ours), ("n2", &foreign), true).into_iter().chain(compare(("n2", &foreign), ("n1", &ours), true)) {
            prop_assert!(unlike.message.len() < 1_000);
        }
        prop_assert_eq!(compare(("n2", &foreign), ("n2", &foreign), true).iter().filter(|it| it.refuses && it.reason != "VersionMismatch").count(), 0);
    }
}
