//! Prints the CRD as YAML: `cargo run --bin crdgen > crds/podmigrations.godwit.dev.yaml`.
fn main() {}
