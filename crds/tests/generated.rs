//! The committed YAML is what the types say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which may")]

use std::path::Path;

use godwit_crds::checks::{LIMITS_FILE, acceptable, limits_page};
use godwit_crds::{MemoryMode, PodMigrationSpec, definition_yaml, definitions};

/// Each definition as it is committed there, and as it would be generated.
fn both(place: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
    let all = definitions().unwrap().into_iter().map(|(name, fresh)| {
        let path = folder.join(name);
        let committed = std::fs::read_to_string(&path);
        (
            committed.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
            fresh,
        )
    });
    all.collect()
}

#[test]
fn the_copy_beside_the_crate_is_fresh() {
    for (committed, fresh) in both(".") {
        assert_eq!(committed, fresh, "run `cargo run --bin crdgen`");
    }
}

#[test]
fn the_copy_in_the_chart_is_fresh() {
    for (committed, fresh) in both("../charts/godwit/crds") {
        assert_eq!(committed, fresh, "run `cargo run --bin crdgen`");
    }
}

#[test]
fn the_page_of_limits_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(LIMITS_FILE);
    let committed = std::fs::read_to_string(&path).unwrap();
    assert_eq!(committed, limits_page(), "run `cargo run --bin crdgen`");
}

#[test]
fn what_can_be_accepted_is_in_the_definition_and_nothing_else() {
    let yaml = definition_yaml().unwrap();
    let accept = yaml.split("accept:").nth(1).unwrap();
    let list = accept.split("enum:").nth(1).unwrap();
    let names: Vec<&str> = list
        .lines()
        .map(str::trim)
        .skip(1)
        .map_while(|line| line.strip_prefix("- "))
        .collect();
    assert_eq!(names, acceptable().collect::<Vec<_>>());
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
        "self.memory == oldSelf.memory",
        "has(self.freezeBudget) == has(oldSelf.freezeBudget)",
        "duration(self.freezeBudget) > duration('0s')",
        "has(self.bandwidth) == has(oldSelf.bandwidth)",
        "quantity(string(self.bandwidth)).isLessThan(quantity('1k'))",
        "quantity(string(self.bandwidth)).isGreaterThan(quantity('1P'))",
        "self.autoConverge == oldSelf.autoConverge",
        "!self.autoConverge || self.memory != 'StopAndCopy'",
    ] {
        assert!(yaml.contains(rule), "{rule}");
    }
}

/// What a user may leave out is as it was before there was a choice.
#[test]
fn a_spec_of_an_earlier_version_is_still_one() {
    let spec: PodMigrationSpec = serde_json::from_str(r#"{"podName": "p"}"#).unwrap();
    let expected = PodMigrationSpec {
        pod_name: "p".to_owned(),
        ..PodMigrationSpec::default()
    };
    assert_eq!(spec, expected);
    assert_eq!(spec.memory, MemoryMode::Auto);
    assert!(!spec.auto_converge && spec.freeze_budget.is_none() && spec.bandwidth.is_none());
}

/// The API server warns of formats that it does not know.
#[test]
fn no_number_has_a_format_of_its_own() {
    for (name, yaml) in definitions().unwrap() {
        assert!(!yaml.contains("format: uint"), "{name}");
    }
}
