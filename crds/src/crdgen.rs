//! Writes what is generated from this crate to every place in the repository that holds a copy, the CRDs and the page of limits:
//! `cargo run --bin crdgen`.

use std::error::Error;
use std::path::Path;

use godwit_crds::checks::{LIMITS_FILE, limits_page};
use godwit_crds::definitions;

fn main() -> Result<(), Box<dyn Error>> {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![(crate_dir.join(LIMITS_FILE), limits_page())];
    for (name, yaml) in definitions()? {
        files.push((crate_dir.join("../charts/godwit/crds").join(name), yaml.clone()));
        files.push((crate_dir.join(name), yaml));
    }
    for (place, text) in files {
        std::fs::write(&place, text).map_err(|error| format!("cannot write {}: {error}", place.display()))?;
    }
    Ok(())
}
