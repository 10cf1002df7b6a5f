//! One object against the schema of its kind.

use serde_json::Value;

use super::{Fields, Known, Schema, Schemas, served};
use crate::model::names::closest;
use crate::model::{At, Code, Diagnostic, Node, Span, yaml};
use crate::object::Kind;

/// Most findings in one object: enough to see that it is of another kind or version.
const MAX_FINDINGS: usize = 10;

/// Fields of every object, beside those of its kind.
const COMMON: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

/// All kinds that objects can have in the groups that Kubernetes keeps for itself and that most applications use (Kubernetes API reference).
const CLOSED: [(&str, &[&str]); 3] = [
    (
        "",
        &[
            "ConfigMap",
            "Endpoints",
            "Event",
            "LimitRange",
            "Namespace",
            "Node",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
        ],
    ),
    ("apps", &["ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"]),
    ("batch", &["CronJob", "Job"]),
];

/// Checks an object of this kind.
pub fn check<'a>(path: &'a str, kind: &'a Kind, object: &At<Node>, schemas: &'a Schemas) -> Vec<Diagnostic> {
    let mut found = Findings { path, kind: &kind.kind, above: Vec::new(), list: Vec::new() };
    if let Some((message, help)) = served::unknown(kind, schemas) {
        let span = object.get("apiVersion").map_or(object.span, |version| version.span);
        found.error(span, message, help);
        return found.list; // what it may have is another question
    }
    if let Some(metadata) = object.get("metadata") {
        found.value(schemas.metadata(), metadata, "metadata");
    }
    match schemas.of(kind) {
        Known::Schema(Schema::Fields(fields)) => found.fields(fields, object, "", &COMMON),
        Known::NotServed(versions) => {
            let span = object.get("apiVersion").map_or(object.span, |version| version.span);
            let message = format!("{} is not served in version `{}`", kind.kind, kind.version.escape_debug());
            found.error(span, message, closest(&kind.version, &versions));
        }
        Known::Nothing => {
            let of_group = CLOSED.iter().find(|(group, _)| *group == &*kind.group).map(|(_, kinds)| *kinds);
            // A list is told where it is loaded: it has no name.
            if let Some(kinds) = of_group.filter(|kinds| !kinds.contains(&&*kind.kind) && !kind.kind.ends_with("List")) {
                let span = object.get("kind").map_or(object.span, |kind| kind.span);
                let message =
                    format!("Kubernetes has no kind `{}` in `{}`", kind.kind.escape_debug(), kind.api_version().escape_debug());
                found.error(span, message, closest(&kind.kind, kinds));
            }
        }
        Known::Schema(_) => {}
    }
    found.list.truncate(MAX_FINDINGS);
    found.list
}

struct Findings<'a> {
    path: &'a str,
    kind: &'a str,
    /// Fields that can stand beside the mappings around the one that is looked at.
    above: Vec<&'a Fields>,
    list: Vec<Diagnostic>,
}

impl<'a> Findings<'a> {
    fn error(&mut self, span: Span, message: String, help: String) {
        self.list.push(Diagnostic::error(self.path, span, Code::Schema, message, help));
    }

    fn value(&mut self, schema: &'a Schema, node: &At<Node>, path: &str) {
        let wanted = match (schema, &node.value) {
            (_, Node::Scalar(Value::Null)) // the API server takes it for nothing
            | (Schema::Any, _)
            | (Schema::Text | Schema::WholeOrText, Node::Scalar(Value::String(_)))
            | (Schema::Number, Node::Scalar(Value::Number(_)))
            | (Schema::Bool, Node::Scalar(Value::Bool(_))) => return,
            (Schema::Fields(fields), Node::Map(_)) => return self.fields(fields, node, path, &[]),
            (Schema::Map(values), Node::Map(entries)) => {
                return entries.iter().for_each(|(key, value)| self.value(values, value, &format!("{path}.{}", **key)));
            }
            (Schema::List(items), Node::List(all)) => {
                return all.iter().enumerate().for_each(|(i, item)| self.value(items, item, &format!("{path}[{i}]")));
            }
            (Schema::OneOf(known), Node::Scalar(Value::String(text))) => {
                if !known.contains(text) {
                    self.error(node.span, format!("`{path}` cannot be `{}`", text.escape_debug()), closest(text, known));
                }
                return;
            }
            (Schema::Whole | Schema::WholeOrText, Node::Scalar(Value::Number(number)))
                if number.as_f64().is_some_and(|number| number.fract() == 0.0) =>
            {
                return;
            }
            (Schema::Fields(_) | Schema::Map(_), _) => "a mapping",
            (Schema::List(_), _) => "a list",
            (Schema::Text | Schema::OneOf(_), _) => "a text",
            (Schema::Whole, _) => "a whole number",
            (Schema::Number, _) => "a number",
            (Schema::Bool, _) => "`true` or `false`",
            (Schema::WholeOrText, _) => "a whole number or a text",
        };
        let help = match (wanted, &node.value) {
            ("a text", Node::Scalar(value)) => format!("write \"{value}\""),
            ("`true` or `false`", Node::Scalar(Value::String(text))) => {
                yaml::boolean(text).map(|meant| format!("write `{meant}`")).unwrap_or_default()
            }
            (_, Node::Scalar(Value::String(text))) if text.parse::<f64>().is_ok() => "take the quotes away".to_owned(),
            ("a list", Node::Scalar(Value::String(text))) => format!("write [{}]", text.escape_debug()),
            _ => String::new(),
        };
        self.error(node.span, format!("`{path}` is {}; {wanted} belongs here", what(node)), help);
    }

    fn fields(&mut self, schema: &'a Fields, node: &At<Node>, path: &str, common: &[&str]) {
        let inside = |field: &str| if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
        self.above.push(schema);
        for (key, value) in node.fields() {
            match schema.known.get(&**key) {
                _ if common.contains(&key.as_str()) => {}
                Some(field) => self.value(field, value, &inside(key)),
                None if schema.open => {}
                None => {
                    let at = if path.is_empty() { self.kind.to_owned() } else { format!("`{path}` of {}", self.kind) };
                    let names: Vec<&String> = schema.known.keys().collect();
                    let help = self.elsewhere(schema, key, path).unwrap_or_else(|| like(schema, closest(key, &names)));
                    self.error(key.span, format!("there is no field `{}` in {at}", key.escape_debug()), help);
                }
            }
        }
        self.above.pop();
        for missing in schema.required.iter().filter(|field| node.get(field).is_none()) {
            let message = format!("`{}` of {} is missing", inside(missing), self.kind);
            self.error(node.span, message, "the API server refuses the object without it".to_owned());
        }
    }
}

impl Findings<'_> {
    /// Where a field belongs that slipped one level up or down.
    fn elsewhere(&self, schema: &Fields, key: &str, path: &str) -> Option<String> {
        let outer = self.above.len().checked_sub(2).map(|outer| &self.above[outer]);
        let own = path.rsplit('.').next().unwrap_or_default();
        if outer.is_some_and(|outer| outer.known.contains_key(key)) {
            return Some(format!("it belongs one level up, beside `{}`", own.split('[').next().unwrap_or_default()));
        }
        let has = |inner: &Schema| matches!(inner, Schema::Fields(inner) if inner.known.contains_key(key));
        let within: Vec<&String> = schema.known.iter().filter(|(_, inner)| has(inner)).map(|(name, _)| name).collect();
        let [name] = within.as_slice() else { return None };
        Some(format!("it belongs one level down, under `{name}`"))
    }
}

/// A field that is like another may still be of another type.
fn like(schema: &Fields, help: String) -> String {
    let meant = help.strip_prefix("did you mean `").and_then(|rest| rest.strip_suffix("`?"));
    let list = meant.is_some_and(|meant| matches!(schema.known.get(meant), Some(Schema::List(_))));
    if list { format!("{help} it is a list") } else { help }
}

fn what(node: &Node) -> &'static str {
    match node {
        Node::Map(_) => "a mapping",
        Node::List(_) => "a list",
        Node::Scalar(Value::String(_)) => "a text",
        Node::Scalar(Value::Bool(_)) => "`true` or `false`",
        Node::Scalar(_) => "a number",
    }
}
