//! `repo-layout/schemas/` says what the agent accepts, and every document of the example refers to its schema and keeps to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use meshfed::model::{Place, schema};
use serde_json::{Value, json};

/// First line of a document, as YAML language servers look for it.
const MODELINE: &str = "# yaml-language-server: $schema=";

fn layout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("repo-layout")
}

/// Every file under `dir`, by its path from there.
pub fn files(dir: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned(), path);
            }
        }
    }
    found
}

#[test]
fn the_schemas_are_those_of_the_types() {
    let dir = layout().join("schemas");
    let there: BTreeMap<String, String> =
        files(&dir).into_iter().map(|(name, path)| (name, fs::read_to_string(path).unwrap())).collect();
    let expected: BTreeMap<String, String> = schema::all().into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
    let differ: Vec<&String> =
        there.keys().chain(expected.keys()).filter(|name| there.get(*name) != expected.get(*name)).collect();
    assert!(differ.is_empty(), "{differ:?} differ; make them anew: cargo run -- schema repo-layout/schemas");
}

#[test]
fn every_example_names_its_schema_and_keeps_to_it() {
    let mut seen = 0;
    for (name, path) in files(&layout()) {
        let schema = match Place::of(&name) {
            Place::Federation => "federation.json",
            Place::Mesh(_) => "mesh.json",
            Place::Peer { .. } => "peer.json",
            Place::Traffic { .. } => "traffic.json",
            Place::Manifests { .. } | Place::Policy | Place::Definition | Place::Foreign => continue,
            Place::Unknown { help } => panic!("repo-layout/{name} is read by nobody: {help}"),
            Place::Waiting => panic!("repo-layout/{name} waits for a decision"),
        };
        let text = fs::read_to_string(&path).unwrap();
        let named = text.lines().next().and_then(|line| line.strip_prefix(MODELINE)).unwrap_or_default();
        let file = path.parent().unwrap().join(named).canonicalize().unwrap_or_else(|e| panic!("{name}: schema `{named}`: {e}"));
        assert_eq!(file, layout().join("schemas").join(schema).canonicalize().unwrap(), "{name}");
        let schema: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!(check(&schema, &schema, &yaml(&text), &name), Vec::<String>::new());
        seen += 1;
    }
    assert!(seen > 5, "only {seen} documents in the example");
}

#[test]
fn the_schema_refuses_what_the_agent_refuses() {
    let all: BTreeMap<_, _> = schema::all().into_iter().collect();
    let peer: Value = serde_json::from_str(&all["peer.json"]).unwrap();
    let mk = |spec: Value| json!({"apiVersion": "meshfed.dev/v1alpha1", "kind": "Peer", "metadata": {"name": "a"}, "spec": spec});
    assert!(check(&peer, &peer, &mk(json!({})), "").is_empty());
    for bad in [
        mk(json!({"export": []})),
        mk(json!({"imports": [{"as": "a/b"}]})),
        mk(json!({"imports": {"service": "a/b"}})),
        mk(json!({"imports": [{"service": 1}]})),
        json!({"apiVersion": "meshfed.dev/v1", "kind": "Peer", "metadata": {"name": "a"}}),
        json!({"apiVersion": "meshfed.dev/v1alpha1", "kind": "Mesh", "metadata": {"name": "a"}}),
    ] {
        assert!(!check(&peer, &peer, &bad, "").is_empty(), "{bad} is accepted");
    }
}

fn yaml(text: &str) -> Value {
    meshfed::model::yaml::documents("example.yaml", text).unwrap().remove(0).value
}

/// What breaks the schema: the part of JSON Schema that ours are made of; any other keyword is a failure too.
fn check(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    let Value::Object(keywords) = schema else {
        return if schema == &json!(true) { found } else { vec![format!("{at}: nothing is allowed here")] };
    };
    let all = |list: &Value| -> Vec<Vec<String>> {
        list.as_array().unwrap().iter().map(|schema| check(root, schema, value, at)).collect()
    };
    for (keyword, argument) in keywords {
        match keyword.as_str() {
            "$schema" | "title" | "description" | "definitions" | "default" | "format" => {}
            "$ref" => {
                let pointer = argument.as_str().unwrap().strip_prefix('#').unwrap();
                found.extend(check(root, root.pointer(pointer).unwrap(), value, at));
            }
            "type" => {
                let is = |name: &Value| match name.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "number" => value.is_number(),
                    "null" => value.is_null(),
                    other => panic!("type {other}"),
                };
                if !argument.as_array().map_or_else(|| is(argument), |names| names.iter().any(is)) {
                    found.push(format!("{at}: not {argument}: {value}"));
                }
            }
            "const" if argument == value => {}
            "const" => found.push(format!("{at}: {value} is not {argument}")),
            "enum" if argument.as_array().unwrap().contains(value) => {}
            "enum" => found.push(format!("{at}: {value} is none of {argument}")),
            "minimum" | "maximum" => {
                let (value, limit) = (value.as_f64().unwrap_or_default(), argument.as_f64().unwrap());
                if (keyword == "minimum" && value < limit) || (keyword == "maximum" && value > limit) {
                    found.push(format!("{at}: {value} is beyond the {keyword} of {limit}"));
                }
            }
            "required" => {
                let missing = argument.as_array().unwrap().iter().filter(|name| value.get(name.as_str().unwrap()).is_none());
                found.extend(missing.map(|name| format!("{at}: lacks {name}")));
            }
            "properties" => {
                for (name, schema) in argument.as_object().unwrap() {
                    found.extend(
                        value.get(name).map(|value| check(root, schema, value, &format!("{at}.{name}"))).unwrap_or_default(),
                    );
                }
            }
            "additionalProperties" => {
                let known = keywords.get("properties").and_then(Value::as_object);
                for (name, value) in value.as_object().into_iter().flatten() {
                    if known.is_none_or(|known| !known.contains_key(name)) {
                        found.extend(check(root, argument, value, &format!("{at}.{name}")));
                    }
                }
            }
            "items" => {
                for (i, value) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(check(root, argument, value, &format!("{at}[{i}]")));
                }
            }
            "allOf" => found.extend(all(argument).into_iter().flatten()),
            "anyOf" | "oneOf" => {
                let each = all(argument);
                if !each.iter().any(Vec::is_empty) {
                    found.extend(each.into_iter().flatten());
                }
            }
            other => panic!("keyword `{other}` in a schema of ours"),
        }
    }
    found
}
