//! CustomResourceDefinitions that people put into `crds/` (Kubernetes, "structural schema").

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Fields, Schema, Schemas};
use crate::model::{Code, Diagnostic, yaml};

const API_VERSION: &str = "apiextensions.k8s.io/v1";

/// Adds the definitions of a file.
pub fn read(path: &str, text: &str, schemas: &mut Schemas, found: &mut Vec<Diagnostic>) {
    let documents = match yaml::documents(path, text) {
        Ok(documents) => documents,
        Err(finding) => return found.push(*finding),
    };
    for document in documents {
        let items = match document.value.get("items").and_then(Value::as_array) {
            Some(items) => items.iter().collect(), // `kubectl get crd -o yaml` of several
            None => vec![&document.value],
        };
        for item in items {
            match definition(item) {
                Some((group, kind, versions)) => schemas.add(group, kind, versions),
                None => {
                    let help = format!("crds/ has objects of kind CustomResourceDefinition of {API_VERSION}");
                    let message = "this is not the definition of a kind";
                    found.push(Diagnostic::error(path, document.span, Code::BadValue, message, help));
                }
            }
        }
    }
}

fn definition(value: &Value) -> Option<(String, String, BTreeMap<String, Schema>)> {
    if value["apiVersion"] != API_VERSION || value["kind"] != "CustomResourceDefinition" {
        return None;
    }
    let text = |pointer| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let served = value.pointer("/spec/versions")?.as_array()?.iter().filter(|version| version["served"] == true);
    let version = |version: &Value| {
        let mut schema = schema(&version["schema"]["openAPIV3Schema"]);
        if let Schema::Fields(fields) = &mut schema {
            Arc::make_mut(fields).required.retain(|field| !COMMON.contains(&field.as_str())); // checked for every kind
        }
        Some((version["name"].as_str()?.to_owned(), schema))
    };
    Some((text("/spec/group")?, text("/spec/names/kind")?, served.map(version).collect::<Option<_>>()?))
}

/// Fields that are the same in every kind.
const COMMON: [&str; 3] = ["apiVersion", "kind", "metadata"];

fn schema(value: &Value) -> Schema {
    if value["x-kubernetes-int-or-string"] == true {
        return Schema::WholeOrText;
    }
    match value["type"].as_str() {
        Some("string") => match value["enum"].as_array() {
            Some(values) => Schema::OneOf(values.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
            None => Schema::Text,
        },
        Some("integer") => Schema::Whole,
        Some("number") => Schema::Number,
        Some("boolean") => Schema::Bool,
        Some("array") => Schema::List(Arc::new(schema(&value["items"]))),
        Some("object") => object(value),
        _ => Schema::Any,
    }
}

fn object(value: &Value) -> Schema {
    let open = value["x-kubernetes-preserve-unknown-fields"] == true;
    match (value["properties"].as_object(), &value["additionalProperties"]) {
        (None, values @ Value::Object(_)) => Schema::Map(Arc::new(schema(values))),
        (None, Value::Bool(true)) => Schema::Any,
        (None, _) if open => Schema::Any,
        (properties, _) => {
            let known = properties.into_iter().flatten().map(|(name, value)| (name.clone(), schema(value))).collect();
            let required = value["required"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
            Schema::Fields(Arc::new(Fields { known, required: required.collect(), open }))
        }
    }
}
