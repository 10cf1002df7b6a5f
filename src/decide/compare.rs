//! Does a live object say what we want of it? Exact to the field, by the rules of server-side apply: what others add stays theirs,
//! lists with keys are compared element by element, and `metadata.managedFields` tells who owns what.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::spelling;
use crate::object::{FIELD_MANAGER, Live, Object, PART_OF_LABEL};

/// What separates a live object from the wanted one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Fields that differ; empty where there is nothing to do.
    pub changes: Vec<Change>,
}

impl Comparison {
    /// The change that most needs people: a field that somebody else applied, or, unless we `had` the object as it is wanted, one that
    /// somebody wrote and that was never ours. With its owner, and how many there are in all. What we own together with somebody who
    /// wrote it in another way, we once took over as it was: from then on our documents say what it is.
    pub fn claimed(&self, had: bool) -> Option<(&Change, &Owner, usize)> {
        let claims = |change: &Change, owner: &Owner| owner.operation == Operation::Apply || !(had || change.ours);
        let claimed = self.changes.iter().filter_map(|change| Some((change, change.owners.iter().find(|o| claims(change, o))?)));
        let mut claimed: Vec<_> = claimed.collect();
        claimed.sort_by_key(|(_, owner)| owner.operation != Operation::Apply);
        claimed.first().map(|(change, owner)| (*change, *owner, claimed.len()))
    }

    /// Whether somebody else owns a field that differs.
    pub fn has_owners(&self) -> bool {
        self.changes.iter().any(|change| !change.owners.is_empty())
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
    /// We own it too: it is as we applied it.
    pub ours: bool,
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
    let (kind, mut wanted, live) = (&wanted.kind, wanted.value(), live.value());
    spelling::follow(kind, &mut wanted, &live);
    let managers = Managers::of(&live);
    let fields = managers.roots();
    let mut walk = Walk { managers: &managers, changes: Vec::new() };
    if let (Value::Object(wanted), Value::Object(live)) = (&wanted, &live) {
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

/// Whether this annotation of a live object is as our field manager applied it: whoever else writes it takes it over.
pub fn is_applied_by_us(live: &Value, annotation: &str) -> bool {
    let owns = |fields: &Value| {
        let annotations = fields.pointer("/f:metadata/f:annotations");
        annotations.is_some_and(|annotations| annotations.get(format!("f:{annotation}")).is_some())
    };
    Managers::of(live).0.iter().any(|manager| manager.ours && owns(&manager.fields))
}

/// Whether we made this object, as far as it tells by itself: it bears our label, and whoever else wrote into it wrote a status, or
/// metadata as controllers do. An object that was there before us has somebody else's fields, which we hold together.
pub fn is_made_by_us(live: &Live, set: &str) -> bool {
    let value = live.value();
    let labelled = value.pointer("/metadata/labels").and_then(|labels| labels.get(PART_OF_LABEL)).is_some_and(|id| id == set);
    let managers = Managers::of(&value).0;
    let only_metadata = |fields: &Value| fields.as_object().is_some_and(|fields| fields.keys().all(|key| key == "f:metadata"));
    let others = |manager: &&Manager| !manager.ours && !manager.subresource;
    labelled
        && managers.iter().any(|manager| manager.ours)
        && managers.iter().filter(others).all(|manager| only_metadata(&manager.fields))
}

struct Managers(Vec<Manager>);

struct Manager {
    ours: bool,
    subresource: bool,
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
            let subresource = entry.get("subresource").is_some();
            let ours = name == FIELD_MANAGER && operation == Operation::Apply && !subresource;
            Manager {
                ours,
                subresource,
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
        let ours = from.is_some() && self.managers.0.iter().zip(fields).any(|(manager, node)| manager.ours && node.is_some());
        self.changes.push(Change { path: path.to_owned(), from, to, owners, ours });
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
        let claimed = |had| found.claimed(had).map(|(change, owner, count)| (&*change.path, &*owner.manager, count));
        assert_eq!(claimed(false), Some(("spec.a.b", "kubectl-edit", 1)));
        assert_eq!(claimed(true), None);
        assert!(is_ours(&live));
    }

    #[test]
    fn an_applier_above_owns_what_is_below() {
        let object = wanted(&json!({"list": ["a"]}));
        let managers = json!([{"manager": "argo", "operation": "Apply", "fieldsV1": {"f:spec": {"f:list": {}}}}]);
        let found = compare(&object, &live(&object, &json!({"list": ["b"]}), &managers));
        let claimed = found.claimed(true).map(|(change, owner, _)| (&*change.path, &*owner.manager));
        assert_eq!(claimed, Some(("spec.list", "argo")));
    }

    #[test]
    fn what_we_hold_together_with_a_writer_is_ours_to_change() {
        let object = wanted(&json!({"a": 2}));
        let owner = |manager: &str, operation: &str| json!({"manager": manager, "operation": operation, "fieldsV1": {"f:spec": {"f:a": {}}}});
        let found = |other: &str| {
            let managers = json!([owner("meshfed", "Apply"), owner("kubectl", other)]);
            compare(&object, &live(&object, &json!({"a": 1}), &managers))
        };
        assert!(found("Update").claimed(false).is_none() && found("Update").has_owners());
        assert!(found("Apply").claimed(true).is_some());
    }

    #[test]
    fn an_object_tells_who_made_it() {
        let object = wanted(&json!({"a": 1}));
        let made = |other: &Value| {
            let ours = json!({"manager": "meshfed", "operation": "Apply", "fieldsV1": {"f:spec": {"f:a": {}}}});
            is_made_by_us(&live(&object, &json!({"a": 1}), &json!([ours, other])), "set")
        };
        assert!(made(&json!({"manager": "operator", "operation": "Update", "fieldsV1": {"f:metadata": {"f:finalizers": {}}}})));
        let status = json!({"manager": "operator", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}});
        assert!(made(&status));
        assert!(!made(&json!({"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {"f:a": {}}}})));
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
