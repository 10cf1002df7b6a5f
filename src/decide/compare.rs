//! Does a live object say what we want of it? Exact to the field, by the rules of server-side apply: what others add stays theirs,
//! lists with keys are compared element by element, and `metadata.managedFields` tells who owns what.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::object::{FIELD_MANAGER, Live, Object};

/// What separates a live object from the wanted one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Fields that differ; empty where there is nothing to do.
    pub changes: Vec<Change>,
}

impl Comparison {
    /// Owners other than us that applied a field which we want to be different.
    pub fn appliers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.owned_by(Operation::Apply)
    }

    /// Owners other than us that wrote such a field in another way: `kubectl edit`, a controller.
    pub fn writers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.owned_by(Operation::Update)
    }

    fn owned_by(&self, operation: Operation) -> impl Iterator<Item = (&str, &str)> {
        let owners = self.changes.iter().flat_map(|change| change.owners.iter().map(move |owner| (owner, &*change.path)));
        owners.filter(move |(owner, _)| owner.operation == operation).map(|(owner, path)| (&*owner.manager, path))
    }
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Path as people write it: `spec.ports[port=8188].name`.
    pub path: String,
    /// Now; `None` where it is absent.
    pub from: Option<Value>,
    /// Wanted.
    pub to: Value,
    /// Owners of the field other than us.
    pub owners: Vec<Owner>,
}

/// Another field manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its name.
    pub manager: String,
    /// How it wrote.
    pub operation: Operation,
}

/// How a field manager wrote (`metadata.managedFields[].operation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Server-side apply: it claims the field.
    Apply,
    /// Any other write.
    Update,
}

/// Compares; both are parsed anew, so remember the result where it is asked often.
pub fn compare(wanted: &Object, live: &Live) -> Comparison {
    let live = live.value();
    let managers = Managers::of(&live);
    let fields = managers.roots();
    let mut walk = Walk { managers: &managers, changes: Vec::new() };
    if let (Value::Object(wanted), Value::Object(live)) = (wanted.value(), &live) {
        for (key, value) in wanted.iter().filter(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind")) {
            walk.field(key, key, value, live.get(key), &fields);
        }
    }
    Comparison { changes: walk.changes }
}

/// Whether our field manager has fields in this object: else somebody made it anew under the same name.
pub fn is_ours(live: &Live) -> bool {
    Managers::of(&live.value()).0.iter().any(|manager| manager.ours)
}

struct Managers(Vec<Manager>);

struct Manager {
    ours: bool,
    owner: Owner,
    fields: Value,
}

/// For every manager, its part of the `fieldsV1` tree at the place of the walk.
type Fields<'a> = Vec<Option<&'a Value>>;

impl Managers {
    fn of(live: &Value) -> Self {
        let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let manager = |entry: &Value| {
            let name = entry.get("manager").and_then(Value::as_str).unwrap_or("unknown").to_owned();
            let operation = if entry.get("operation").and_then(Value::as_str) == Some("Apply") {
                Operation::Apply
            } else {
                Operation::Update
            };
            let status = entry.get("subresource").is_some();
            let ours = name == FIELD_MANAGER && operation == Operation::Apply && !status;
            Manager {
                ours,
                owner: Owner { manager: name, operation },
                fields: entry.get("fieldsV1").cloned().unwrap_or_default(),
            }
        };
        Self(entries.iter().map(manager).collect())
    }

    fn roots(&self) -> Fields<'_> {
        self.0.iter().map(|manager| Some(&manager.fields)).collect()
    }
}

/// Goes one step down in every tree. A node without children is owned whole, with all that is below it.
fn step<'a>(fields: &Fields<'a>, segment: &str) -> Fields<'a> {
    fields
        .iter()
        .map(|node| match node {
            Some(Value::Object(children)) if children.is_empty() => *node,
            Some(Value::Object(children)) => children.get(segment),
            _ => None,
        })
        .collect()
}

struct Walk<'m> {
    managers: &'m Managers,
    changes: Vec<Change>,
}

impl Walk<'_> {
    fn field(&mut self, path: &str, key: &str, wanted: &Value, live: Option<&Value>, fields: &Fields) {
        self.value(path, wanted, live, &step(fields, &format!("f:{key}")));
    }

    fn value(&mut self, path: &str, wanted: &Value, live: Option<&Value>, fields: &Fields) {
        match (wanted, live) {
            (Value::Object(wanted), Some(Value::Object(live))) => {
                for (key, value) in wanted {
                    self.field(&join(path, key), key, value, live.get(key), fields);
                }
            }
            (Value::Array(wanted), Some(Value::Array(live))) if wanted != live => self.list(path, wanted, live, fields),
            (wanted, Some(live)) if same(wanted, live) => {}
            (Value::Null, None) => {} // the API server drops nulls
            (wanted, live) => self.change(path, live.cloned(), wanted.clone(), fields),
        }
    }

    /// A list that others may share is merged by key or by value; the trees say which, and without a trace in them it is one unit.
    fn list(&mut self, path: &str, wanted: &[Value], live: &[Value], fields: &Fields) {
        let segments = || fields.iter().flatten().filter_map(|node| node.as_object()).flat_map(Map::keys);
        if let Some(keys) = segments().find_map(|segment| list_keys(segment)) {
            for element in wanted {
                let identity: Map<String, Value> =
                    keys.iter().filter_map(|key| Some((key.clone(), element.get(key)?.clone()))).collect();
                let found = live.iter().find(|other| identity.iter().all(|(key, value)| other.get(key) == Some(value)));
                let segment = fields.iter().flatten().filter_map(|node| node.as_object()).flat_map(Map::keys).find(|segment| {
                    segment
                        .strip_prefix("k:")
                        .and_then(|json| serde_json::from_str::<Map<String, Value>>(json).ok())
                        .is_some_and(|keys| identity.iter().all(|(key, value)| keys.get(key) == Some(value)))
                });
                let below = step(fields, segment.map_or("k:", String::as_str));
                self.value(&format!("{path}[{}]", describe(&identity)), element, found, &below);
            }
        } else if segments().any(|segment| segment.starts_with("v:")) {
            for element in wanted.iter().filter(|element| !live.contains(element)) {
                self.change(&format!("{path}[]"), None, element.clone(), fields);
            }
        } else if wanted.len() != live.len() || !wanted.iter().zip(live).all(|(wanted, live)| same(wanted, live)) {
            self.change(path, Some(Value::Array(live.to_vec())), Value::Array(wanted.to_vec()), fields);
        }
    }

    fn change(&mut self, path: &str, from: Option<Value>, to: Value, fields: &Fields) {
        let others = self.managers.0.iter().zip(fields).filter(|(manager, node)| !manager.ours && node.is_some());
        let owners = if from.is_none() { Vec::new() } else { others.map(|(manager, _)| manager.owner.clone()).collect() };
        self.changes.push(Change { path: path.to_owned(), from, to, owners });
    }
}

/// The keys of `k:{"port":8188}`.
fn list_keys(segment: &str) -> Option<Vec<String>> {
    let keys: Map<String, Value> = serde_json::from_str(segment.strip_prefix("k:")?).ok()?;
    Some(keys.into_iter().map(|(key, _)| key).collect())
}

/// Equal, where `1` and `1.0` are the same number.
fn same(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if (a - b).abs() < f64::EPSILON)
}

fn join(path: &str, key: &str) -> String {
    if key.contains(['.', '/']) { format!("{path}[{key}]") } else { format!("{path}.{key}") }
}

fn describe(identity: &Map<String, Value>) -> String {
    identity.iter().fold(String::new(), |mut text, (key, value)| {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = match value {
            Value::String(value) => write!(text, "{comma}{key}={value}"),
            value => write!(text, "{comma}{key}={value}"),
        }; // writing to a String cannot fail
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wanted(spec: &Value) -> Object {
        let document =
            json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a", "namespace": "n"}, "spec": spec});
        Object::new(document, "set", "path").unwrap()
    }

    /// The wanted object as the API server would give it back, with a changed spec and some managers.
    fn live(object: &Object, spec: &Value, managers: &Value) -> Live {
        let mut value = object.value();
        value["spec"] = spec.clone();
        value["metadata"]["uid"] = json!("u");
        value["metadata"]["resourceVersion"] = json!("1");
        value["metadata"]["managedFields"] = managers.clone();
        Live::new(&value).unwrap()
    }

    fn paths(comparison: &Comparison) -> Vec<&str> {
        comparison.changes.iter().map(|change| &*change.path).collect()
    }

    #[test]
    fn what_others_add_is_theirs() {
        let object = wanted(&json!({"a": 1}));
        let found = compare(&object, &live(&object, &json!({"a": 1.0, "b": 2}), &json!([])));
        assert_eq!(found, Comparison::default());
    }

    #[test]
    fn an_edit_is_seen_with_its_editor() {
        let object = wanted(&json!({"a": {"b": 1}, "c": 1}));
        let managers = json!([
            {"manager": "meshfed", "operation": "Apply", "fieldsV1": {"f:spec": {"f:c": {}}}},
            {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {"f:a": {"f:b": {}}}}},
        ]);
        let live = live(&object, &json!({"a": {"b": 2}}), &managers);
        let found = compare(&object, &live);
        assert_eq!(paths(&found), ["spec.a.b", "spec.c"]);
        assert_eq!(found.writers().collect::<Vec<_>>(), [("kubectl-edit", "spec.a.b")]);
        assert_eq!(found.appliers().count(), 0);
        assert!(is_ours(&live));
    }

    #[test]
    fn an_applier_above_owns_what_is_below() {
        let object = wanted(&json!({"list": ["a"]}));
        let managers = json!([{"manager": "argo", "operation": "Apply", "fieldsV1": {"f:spec": {"f:list": {}}}}]);
        let found = compare(&object, &live(&object, &json!({"list": ["b"]}), &managers));
        assert_eq!(found.appliers().collect::<Vec<_>>(), [("argo", "spec.list")]);
    }

    #[test]
    fn lists_with_keys_are_compared_by_key() {
        let object = wanted(&json!({"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "b"}]}));
        let managers = json!([{"manager": "meshfed", "operation": "Apply", "fieldsV1": {"f:spec": {"f:ports": {
            "k:{\"port\":1}": {".": {}, "f:port": {}, "f:name": {}}, "k:{\"port\":2}": {".": {}, "f:port": {}, "f:name": {}}}}}}]);
        let same = json!({"ports": [{"port": 3}, {"port": 2, "name": "b", "x": 1}, {"port": 1, "name": "a"}]});
        assert_eq!(paths(&compare(&object, &live(&object, &same, &managers))), [""; 0]);
        let other = json!({"ports": [{"port": 2, "name": "c"}, {"port": 1, "name": "a"}]});
        assert_eq!(paths(&compare(&object, &live(&object, &other, &managers))), ["spec.ports[port=2].name"]);
    }

    #[test]
    fn lists_without_keys_are_one_unit() {
        let object = wanted(&json!({"rules": [{"a": 1}]}));
        let managers = json!([{"manager": "meshfed", "operation": "Apply", "fieldsV1": {"f:spec": {"f:rules": {}}}}]);
        let longer = json!({"rules": [{"a": 1}, {"a": 2}]});
        assert_eq!(paths(&compare(&object, &live(&object, &longer, &managers))), ["spec.rules"]);
    }
}
