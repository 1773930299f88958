//! A parking container runs Godwit's own static program, whatever its image holds.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::WrapperError;

/// Init containers of this name are parking containers.
pub(super) const PREFIX: &str = "godwit-park-";
/// Where the program is seen in the container.
const INSIDE: &str = "/.godwit-park";

/// Changes the bundle's configuration.
pub(super) fn rewrite(bundle: &Path, program: &Path) -> Result<(), WrapperError> {
    let path = bundle.join("config.json");
    let failed = |action| {
        let path = path.clone();
        move |source| WrapperError::Bundle { action, path, source }
    };
    let malformed = |why: String| WrapperError::Configuration {
        path: path.clone(),
        why,
    };
    let bytes = fs::read(&path).map_err(failed("read"))?;
    let mut config: Value = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    change(&mut config, program).map_err(|why| malformed(why.to_owned()))?;
    let bytes = serde_json::to_vec(&config).map_err(|error| malformed(error.to_string()))?;
    let temporary = bundle.join(".config.json.godwit");
    fs::write(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, &path))
        .map_err(failed("write"))
}

/// The last argument, `pass` or `last`, stays; all before it becomes our program, which is mounted read-only.
fn change(config: &mut Value, program: &Path) -> Result<(), &'static str> {
    let program = program.to_str().ok_or("the park program's path is no text")?;
    let arguments = config.pointer_mut("/process/args").ok_or("no process.args")?;
    let last = arguments
        .as_array()
        .and_then(|all| all.last())
        .and_then(Value::as_str);
    let role = match last {
        Some("last") => "last",
        Some("pass") => "pass",
        _ => return Err("the last argument of a parking container must be `pass` or `last`"),
    };
    *arguments = json!([INSIDE, role]);
    let root = config.as_object_mut().ok_or("not an object")?;
    let mounts = root.entry("mounts").or_insert_with(|| json!([]));
    let mounts = mounts.as_array_mut().ok_or("mounts is no list")?;
    mounts.retain(|mount| mount.get("destination").and_then(Value::as_str) != Some(INSIDE));
    mounts.push(json!({
        "destination": INSIDE, "type": "bind", "source": program,
        "options": ["bind", "ro", "nosuid", "nodev", "rprivate"],
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_replaced_and_mounted_once() {
        let bundle = tempfile::tempdir().unwrap();
        let path = bundle.path().join("config.json");
        let config = json!({"process": {"args": ["/entry", "last"], "user": {"uid": 7}}, "hostname": "h"});
        fs::write(&path, config.to_string()).unwrap();
        for _ in 0..2 {
            rewrite(bundle.path(), Path::new("/bin/park")).unwrap();
            let config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            assert_eq!(config["process"]["args"], json!(["/.godwit-park", "last"]));
            assert_eq!(config["process"]["user"]["uid"], 7);
            assert_eq!(config["mounts"].as_array().unwrap().len(), 1);
            assert_eq!(config["mounts"][0]["source"], "/bin/park");
        }
    }

    #[test]
    fn without_a_role_it_is_refused() {
        for config in [
            json!({"process": {"args": ["sh"]}}),
            json!({"process": {}}),
            json!([]),
        ] {
            let bundle = tempfile::tempdir().unwrap();
            fs::write(bundle.path().join("config.json"), config.to_string()).unwrap();
            let error = rewrite(bundle.path(), Path::new("/bin/park")).unwrap_err();
            assert_eq!(error.reason(), "BundleMalformed");
        }
    }
}
