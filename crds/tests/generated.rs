//! The committed YAML is what the types say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which may")]

use std::path::Path;

use godwit_crds::{CRD_FILE, definition_yaml};

fn committed(place: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(place).join(CRD_FILE);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_copy_beside_the_crate_is_fresh() {
    assert_eq!(
        committed("."),
        definition_yaml().unwrap(),
        "run `cargo run --bin crdgen`"
    );
}

#[test]
fn the_copy_in_the_chart_is_fresh() {
    assert_eq!(
        committed("../charts/godwit/crds"),
        definition_yaml().unwrap(),
        "run `cargo run --bin crdgen`"
    );
}

#[test]
fn every_rule_is_in_the_definition() {
    let yaml = definition_yaml().unwrap();
    for rule in [
        "self.podName == oldSelf.podName",
        "self.cancel || !oldSelf.cancel",
        "has(self.nodeName) != has(self.nodeSelector)",
        "duration(self.timeout) > duration('0s')",
        "size(self.metadata.name) <= 63",
    ] {
        assert!(yaml.contains(rule), "{rule}");
    }
}
