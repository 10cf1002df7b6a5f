//! Does an object that documents give say all that somebody wrote? What the documents say besides is theirs.

use serde_json::Value;

/// A field that documents do not say as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Path as people write it: `spec.http[0].timeout`.
    pub path: String,
    /// As it was written.
    pub written: Value,
    /// As documents say it; `None` where they say nothing.
    pub instead: Option<Value>,
}

/// Fields that were written and that `derived` does not say, in the order of the object. `skip` are facts, which no document says.
pub(super) fn differences(written: &Value, derived: &Value, skip: &[&str]) -> Vec<Difference> {
    let mut walk = Walk { skip, found: Vec::new() };
    for (name, value) in written.as_object().into_iter().flatten() {
        // The version is how it is written, not what it says.
        if !["apiVersion", "kind"].contains(&name.as_str()) {
            walk.value(name.clone(), value, derived.get(name));
        }
    }
    walk.found
}

struct Walk<'a> {
    skip: &'a [&'a str],
    found: Vec<Difference>,
}

impl Walk<'_> {
    fn value(&mut self, path: String, written: &Value, derived: Option<&Value>) {
        if self.skip.contains(&path.as_str()) {
            return;
        }
        match (written, derived) {
            (Value::Null, _) => {} // says nothing
            (Value::Object(fields), None) if fields.is_empty() => {}
            (Value::Array(items), None) if items.is_empty() => {}
            (Value::Object(fields), Some(Value::Object(others))) => {
                for (name, value) in fields {
                    self.value(join(&path, name), value, others.get(name));
                }
            }
            (Value::Array(items), Some(Value::Array(others)))
                if items.iter().all(|item| item.get("port").is_some_and(Value::is_u64)) =>
            {
                for item in items {
                    let other = others.iter().find(|other| other.get("port") == item.get("port"));
                    self.value(format!("{path}[port={}]", item["port"]), item, other);
                }
            }
            (Value::Array(items), Some(Value::Array(others))) if items.len() == others.len() => {
                for (i, (item, other)) in items.iter().zip(others).enumerate() {
                    self.value(format!("{path}[{i}]"), item, Some(other));
                }
            }
            (written, Some(derived)) if same(written, derived) => {}
            (written, derived) => self.found.push(Difference { path, written: written.clone(), instead: derived.cloned() }),
        }
    }
}

/// Equal, where `1` and `1.0` are the same number.
fn same(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if (a - b).abs() < f64::EPSILON)
}

fn join(path: &str, name: &str) -> String {
    if name.contains(['.', '/']) { format!("{path}[{name}]") } else { format!("{path}.{name}") }
}

/// What of `written` the other does not say: as little as, laid over it, gives all of it back.
pub(super) fn rest(written: &Value, derived: &Value) -> Option<Value> {
    match (written, derived) {
        (Value::Object(written), Value::Object(derived)) => {
            let left = written.iter().filter_map(|(name, value)| {
                let left = derived.get(name).map_or_else(|| Some(value.clone()), |derived| rest(value, derived))?;
                Some((name.clone(), left))
            });
            let left: serde_json::Map<String, Value> = left.collect();
            (!left.is_empty()).then_some(Value::Object(left))
        }
        (Value::Array(written), Value::Array(derived))
            if written.iter().all(|item| item.get("port").is_some_and(Value::is_u64)) =>
        {
            let left = written.iter().filter_map(|item| {
                let Some(other) = derived.iter().find(|other| other.get("port") == item.get("port")) else {
                    return Some(item.clone());
                };
                let mut left = rest(item, other)?;
                left["port"] = item["port"].clone();
                Some(left)
            });
            let left: Vec<Value> = left.collect();
            (!left.is_empty()).then_some(Value::Array(left))
        }
        (written, derived) => (!same(written, derived)).then(|| written.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_documents_add_is_no_difference() {
        let written =
            json!({"apiVersion": "x/v1alpha3", "spec": {"a": 1, "none": null, "ports": [{"port": 2}, {"port": 1, "name": "x"}]}});
        let derived = json!({"apiVersion": "x/v1", "spec": {"a": 1.0, "b": 2, "ports": [{"port": 1, "name": "x"}, {"port": 2, "name": "y"}]}});
        assert_eq!(differences(&written, &derived, &[]), []);
    }

    #[test]
    fn each_difference_has_its_path() {
        let written = json!({"metadata": {"labels": {"a/b": "c"}}, "spec": {"l": [{"x": 1}], "f": {"g": true}}});
        let found = differences(&written, &json!({"metadata": {}, "spec": {"l": [{"x": 2}], "f": 1}}), &["spec.f"]);
        let paths: Vec<&str> = found.iter().map(|difference| difference.path.as_str()).collect();
        assert_eq!(paths, ["metadata.labels", "spec.l[0].x"]);
    }

    #[test]
    fn the_rest_is_what_the_other_does_not_say() {
        let written =
            json!({"a": 1, "b": {"c": 1, "d": 2}, "ports": [{"port": 1, "name": "x"}, {"port": 2, "name": "y", "z": 1}]});
        let derived = json!({"a": 1, "b": {"c": 1, "d": 3}, "ports": [{"port": 1, "name": "x"}, {"port": 2, "name": "y"}]});
        assert_eq!(rest(&written, &derived), Some(json!({"b": {"d": 2}, "ports": [{"port": 2, "z": 1}]})));
        assert_eq!(rest(&written, &written), None);
    }
}
