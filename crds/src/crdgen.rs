//! Writes what is generated from this crate to every place in the repository that holds a copy, the CRD and the page of limits:
//! `cargo run --bin crdgen`.

use std::error::Error;
use std::path::Path;

use godwit_crds::checks::{LIMITS_FILE, limits_page};
use godwit_crds::{CRD_FILE, definition_yaml};

fn main() -> Result<(), Box<dyn Error>> {
    let yaml = definition_yaml()?;
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (place, text) in [
        (crate_dir.join(CRD_FILE), &yaml),
        (crate_dir.join("../charts/godwit/crds").join(CRD_FILE), &yaml),
        (crate_dir.join(LIMITS_FILE), &limits_page()),
    ] {
        std::fs::write(&place, text).map_err(|error| format!("cannot write {}: {error}", place.display()))?;
    }
    Ok(())
}
