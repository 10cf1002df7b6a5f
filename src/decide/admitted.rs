//! An object as it will be once it is applied, by the rules of server-side apply: what others own stays, what we no longer say goes, unless
//! somebody else says it too. Policies judge this, as the API server's do, not just the fields that we send.

use serde_json::{Map, Value};

use crate::object::{FIELD_MANAGER, Live, Object};

/// The object after it is applied over `live`.
pub(super) fn admitted(object: &Object, live: &Live) -> Value {
    let (wanted, mut result) = (object.value(), live.value());
    let entries = result.pointer("/metadata/managedFields").and_then(Value::as_array).cloned().unwrap_or_default();
    let fields = |entry: &Value| entry.get("fieldsV1").cloned().unwrap_or_default();
    let ours = |entry: &&Value| {
        let text = |name| entry.get(name).and_then(Value::as_str);
        text("manager") == Some(FIELD_MANAGER) && text("operation") == Some("Apply") && entry.get("subresource").is_none()
    };
    let (own, others): (Vec<&Value>, Vec<&Value>) = entries.iter().partition(ours);
    let own: Vec<Value> = own.into_iter().map(fields).collect();
    let others: Vec<Value> = others.into_iter().map(fields).collect();
    let others: Vec<&Value> = others.iter().collect();
    for tree in &own {
        remove(&mut result, Some(&wanted), tree, &others);
    }
    let all: Vec<&Value> = own.iter().chain(others).collect();
    overlay(&mut result, &wanted, &all);
    result
}

fn below<'a>(trees: &[&'a Value], segment: &str) -> Vec<&'a Value> {
    trees.iter().filter_map(|tree| tree.get(segment)).collect()
}

/// Takes out what was ours alone and is no longer wanted.
fn remove(live: &mut Value, wanted: Option<&Value>, ours: &Value, others: &[&Value]) {
    for (segment, tree) in ours.as_object().into_iter().flatten() {
        let shared = below(others, segment);
        if let (Some(field), Some(fields)) = (segment.strip_prefix("f:"), live.as_object_mut()) {
            let wanted = wanted.and_then(|wanted| wanted.get(field));
            if wanted.is_none() && shared.is_empty() {
                fields.remove(field);
            } else if let Some(value) = fields.get_mut(field) {
                remove(value, wanted, tree, &shared);
            }
        } else if let (Some(keys), Some(items)) = (identity(segment), live.as_array_mut()) {
            let wanted = wanted.and_then(|wanted| wanted.as_array()?.iter().find(|item| is(item, &keys)));
            if wanted.is_none() && shared.is_empty() {
                items.retain(|item| !is(item, &keys));
            } else if let Some(item) = items.iter_mut().find(|item| is(item, &keys)) {
                remove(item, wanted, tree, &shared);
            }
        }
    }
}

/// Puts what is wanted over what is there. Lists with keys are merged by them, all others are replaced.
fn overlay(live: &mut Value, wanted: &Value, trees: &[&Value]) {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            for (field, value) in wanted {
                let trees = below(trees, &format!("f:{field}"));
                overlay(live.entry(field.clone()).or_insert(Value::Null), value, &trees);
            }
        }
        (Value::Array(live), Value::Array(wanted)) if keys(trees).is_some() => {
            let names = keys(trees).unwrap_or_default();
            for item in wanted {
                let keys: Map<String, Value> =
                    names.iter().filter_map(|name| Some((name.clone(), item.get(name)?.clone()))).collect();
                match live.iter_mut().find(|other| is(other, &keys)) {
                    Some(other) => overlay(other, item, &[]),
                    None => live.push(item.clone()),
                }
            }
        }
        (live, wanted) => *live = wanted.clone(),
    }
}

/// `k:{"port":8188}`.
fn identity(segment: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(segment.strip_prefix("k:")?).ok()
}

/// The fields by which the elements of a list are told apart.
fn keys(trees: &[&Value]) -> Option<Vec<String>> {
    let segments = trees.iter().filter_map(|tree| tree.as_object()).flat_map(Map::keys);
    segments.filter_map(|segment| identity(segment)).map(|keys| keys.into_iter().map(|(name, _)| name).collect()).next()
}

fn is(item: &Value, keys: &Map<String, Value>) -> bool {
    keys.iter().all(|(name, value)| item.get(name) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_result_is_what_server_side_apply_makes() {
        let document = json!({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "a"},
            "spec": {"ours": 2, "list": ["new"], "ports": [{"port": 1, "name": "x"}]}});
        let object = Object::new(document, "set", "path").unwrap();
        let live = json!({"apiVersion": "v1", "kind": "Thing",
            "metadata": {"name": "a", "uid": "u", "resourceVersion": "1", "managedFields": [
                {"manager": "meshfed", "operation": "Apply", "fieldsV1": {"f:spec": {"f:ours": {}, "f:old": {}, "f:both": {}, "f:list": {},
                    "f:ports": {"k:{\"port\":1}": {".": {}, "f:port": {}}, "k:{\"port\":2}": {".": {}, "f:port": {}}}}}},
                {"manager": "other", "operation": "Update", "fieldsV1": {"f:spec": {"f:theirs": {}, "f:both": {},
                    "f:ports": {"k:{\"port\":3}": {".": {}}}}}}]},
            "spec": {"ours": 1, "old": 1, "both": 1, "theirs": 1, "list": ["a", "b"],
                "ports": [{"port": 1}, {"port": 2}, {"port": 3}]},
            "status": {"ready": true}});
        let result = admitted(&object, &Live::new(&live).unwrap());
        let spec = json!({"ours": 2, "both": 1, "theirs": 1, "list": ["new"], "ports": [{"port": 1, "name": "x"}, {"port": 3}]});
        assert_eq!(result["spec"], spec);
        assert_eq!(result["status"]["ready"], true);
        assert_eq!(result["metadata"]["uid"], "u");
    }
}
