//! The runtime entry itself: like the node's runc, but for the binary.

use serde_json::{Map, Value};
use toml_edit::{DocumentMut, Item, Table};

/// Where the runtime lies on every node; what `BinaryName` names.
pub const RUNTIME_BINARY: &str = "/var/lib/godwit/bin/godwit-runtime";
/// The only runtime type for which the wrapper's contract with the shim has been established.
pub const RUNTIME_TYPE: &str = "io.containerd.runc.v2";

/// The entry's table for a node whose runc has the table `runc` (empty: containerd's defaults).
///
/// Everything is taken over, so that a pod of this runtime is confined just as any other; only `BinaryName` differs.
/// CRIU paths of the options are not: Godwit brings its own.
pub fn from_runc(runc: &Map<String, Value>) -> Map<String, Value> {
    let mut entry = runc.clone();
    entry.insert("runtime_type".to_owned(), RUNTIME_TYPE.into());
    // A path to another shim would bypass the contract as well; the type names the shim.
    entry.remove("runtime_path");
    let mut options = match entry.remove("options") {
        Some(Value::Object(options)) => options,
        _ => Map::new(),
    };
    options.retain(|key, _| !key.starts_with("Criu"));
    options.insert("BinaryName".to_owned(), RUNTIME_BINARY.into());
    entry.insert("options".to_owned(), Value::Object(options));
    entry
}

/// Header of the entry's table, as it is written in a file.
pub fn header(section: &str) -> String {
    format!("plugins.'{section}'.containerd.runtimes.godwit")
}

/// The entry as TOML below `plugins.'section'`.
pub fn render(section: &str, entry: &Map<String, Value>) -> String {
    let mut inner = Item::Table(table(entry));
    for key in ["godwit", "runtimes", "containerd", section, "plugins"] {
        let mut outer = Table::new();
        outer.set_implicit(true);
        outer.insert(key, inner);
        inner = Item::Table(outer);
    }
    let mut document = DocumentMut::new();
    if let Item::Table(root) = inner {
        *document.as_table_mut() = root;
    }
    document.to_string()
}

/// Scalars first, tables after: a table's keys must stand before the headers of its children.
fn table(values: &Map<String, Value>) -> Table {
    let mut table = Table::new();
    for (key, value) in values {
        match value {
            Value::Object(children) => {
                table.insert(key, Item::Table(self::table(children)));
            }
            other => {
                if let Some(value) = scalar(other) {
                    table.insert(key, Item::Value(value));
                }
            }
        }
    }
    table
}

fn scalar(value: &Value) -> Option<toml_edit::Value> {
    Some(match value {
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => integer.into(),
            None => number.as_f64()?.into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(values) => values
            .iter()
            .filter_map(scalar)
            .collect::<toml_edit::Array>()
            .into(),
        Value::Object(children) => {
            let mut inline = toml_edit::InlineTable::new();
            for (key, value) in children {
                inline.insert(key, scalar(value)?);
            }
            inline.into()
        }
        Value::Null => return None,
    })
}
