//! What only a server says of an object: no one wrote it, and no one can apply it.

use serde_json::Value;

/// Fields of `metadata` that the API server or controllers fill in (Kubernetes API conventions, "Metadata").
const SERVER: [&str; 9] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "selfLink",
    "finalizers",
];

/// Annotations that tools leave for themselves.
const TOOLS: [&str; 2] = ["kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision"];

/// Addresses that a Service was given in one cluster.
const GIVEN: [&str; 2] = ["clusterIP", "clusterIPs"];

/// The object as somebody would write it.
pub fn stripped(mut object: Value) -> Value {
    let Some(fields) = object.as_object_mut() else { return object };
    fields.remove("status");
    let service = fields.get("kind").is_some_and(|kind| kind == "Service");
    let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) else { return object };
    let stored = metadata.contains_key("uid") || metadata.contains_key("resourceVersion");
    // Finalizers that somebody wrote are theirs.
    metadata.retain(|name, _| !SERVER.contains(&name.as_str()) || (name == "finalizers" && !stored));
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.retain(|name, _| !TOOLS.contains(&name.as_str()));
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    if let Some(spec) = fields.get_mut("spec").and_then(Value::as_object_mut).filter(|_| stored && service) {
        spec.retain(|name, value| !GIVEN.contains(&name.as_str()) || value == "None");
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_server_added_goes_and_the_rest_stays() {
        let given = json!({"apiVersion": "v1", "kind": "Service", "status": {}, "metadata": {
            "name": "a", "uid": "u", "resourceVersion": "1", "creationTimestamp": null, "managedFields": [], "finalizers": ["x"],
            "annotations": {TOOLS[0]: "{}"}, "labels": {"a": "b"}}, "spec": {"clusterIP": "10.0.0.1", "ports": []}});
        let left = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "labels": {"a": "b"}}, "spec": {"ports": []}});
        assert_eq!(stripped(given), left);
        assert_eq!(stripped(left.clone()), left);
    }
}
