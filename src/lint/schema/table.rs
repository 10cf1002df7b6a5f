//! The table of kinds that the program carries, `kinds.yaml`.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde::Deserialize;
use serde_json::Value;

use super::{Fields, Schema};

/// What the table says.
#[derive(Debug)]
pub(super) struct Table {
    /// By group and kind.
    pub kinds: BTreeMap<(String, String), Schema>,
    pub metadata: Schema,
}

#[derive(Debug, Deserialize)]
struct Written {
    definitions: BTreeMap<String, Value>,
    kinds: BTreeMap<String, Value>,
}

static CARRIED: LazyLock<Arc<Table>> = LazyLock::new(|| {
    let written: Written = serde_saphyr::from_str(include_str!("kinds.yaml")).expect("part of the program, and read by a test");
    let mut kinds = BTreeMap::new();
    for (name, value) in &written.kinds {
        let (kind, group) = name.split_once('.').unwrap_or((name, ""));
        kinds.insert((group.to_owned(), kind.to_owned()), schema(value, &written.definitions));
    }
    Arc::new(Table { kinds, metadata: schema(&written.definitions["metadata"], &written.definitions) })
});

/// The table.
pub(super) fn carried() -> Arc<Table> {
    CARRIED.clone()
}

fn schema(value: &Value, definitions: &BTreeMap<String, Value>) -> Schema {
    match value {
        Value::String(text) => match text.as_str() {
            "string" => Schema::Text,
            "int" => Schema::Whole,
            "number" => Schema::Number,
            "bool" => Schema::Bool,
            "int-or-string" => Schema::WholeOrText,
            "any" => Schema::Any,
            text => match text.strip_prefix('=') {
                Some(name) => schema(&definitions[name], definitions),
                None => Schema::OneOf(text.split('|').map(str::to_owned).collect()),
            },
        },
        Value::Array(items) => Schema::List(Arc::new(schema(&items[0], definitions))),
        Value::Object(fields) => match fields.get("*") {
            Some(value) => Schema::Map(Arc::new(schema(value, definitions))),
            None => {
                let mut all = Fields::default();
                for (name, value) in fields {
                    let name = match name.strip_suffix('!') {
                        Some(name) => {
                            all.required.insert(name.to_owned());
                            name
                        }
                        None => name,
                    };
                    all.known.insert(name.to_owned(), schema(value, definitions));
                }
                Schema::Fields(Arc::new(all))
            }
        },
        other => unreachable!("no schema is written `{other}`"), // a test reads the whole table
    }
}
