//! Writes the CRD, generated from the types, to every place in the repository that holds a copy: `cargo run --bin crdgen`.

use std::error::Error;
use std::path::Path;

use godwit_crds::{CRD_FILE, definition_yaml};

fn main() -> Result<(), Box<dyn Error>> {
    let yaml = definition_yaml()?;
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    for place in [
        crate_dir.join(CRD_FILE),
        crate_dir.join("../charts/godwit/crds").join(CRD_FILE),
    ] {
        std::fs::write(&place, &yaml)
            .map_err(|error| format!("cannot write {}: {error}", place.display()))?;
    }
    Ok(())
}
