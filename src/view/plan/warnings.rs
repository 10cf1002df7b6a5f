//! What people should think about before a change lands: traffic that moves, peerings that end, identities that change.

use serde_json::Value;

use super::routes::shift;
use crate::object::Key;

/// Warnings about one object, as it is and as it would be.
pub(super) fn warnings(key: &Key, from: Option<&Value>, to: Option<&Value>) -> Vec<String> {
    match (&*key.kind, from, to) {
        ("VirtualService", Some(from), Some(to)) => shift(from, to),
        ("VirtualService", Some(_), None) => vec!["requests go to the service itself again".to_owned()],
        ("ServiceMeshPeer", Some(_), None) => vec![format!("ends the peering with {}", key.name)],
        ("ServiceMeshPeer", Some(from), Some(to)) => identity(key, from, to),
        ("ExportedServiceSet", Some(from), _) => fewer(from, to, "/spec/exportRules", "exported to", key),
        ("ImportedServiceSet", Some(from), _) => fewer(from, to, "/spec/importRules", "imported from", key),
        ("ServiceMeshControlPlane", Some(from), to) => control_plane(from, to),
        ("ConfigMap", Some(from), Some(to)) if from.pointer(ROOTS) != to.pointer(ROOTS) && from.pointer(ROOTS).is_some() => {
            vec![format!("changes the CA roots in {}", key.name)]
        }
        _ => Vec::new(),
    }
}

/// The roots of a peer in their ConfigMap.
const ROOTS: &str = "/data/root-cert.pem";

fn identity(key: &Key, from: &Value, to: &Value) -> Vec<String> {
    let changed =
        |field: &str| from.pointer(&format!("/spec/security/{field}")) != to.pointer(&format!("/spec/security/{field}"));
    let fields: Vec<&str> = ["trustDomain", "clientID"].into_iter().filter(|field| changed(field)).collect();
    if fields.is_empty() {
        Vec::new()
    } else {
        vec![format!("changes who is believed to be {} ({})", key.name, fields.join(", "))]
    }
}

fn fewer(from: &Value, to: Option<&Value>, list: &str, words: &str, key: &Key) -> Vec<String> {
    let rules = |value: &Value| value.pointer(list).and_then(Value::as_array).cloned().unwrap_or_default();
    let left = to.map(rules).unwrap_or_default();
    let name = |rule: &Value| {
        let part = |field| rule.pointer(&format!("/nameSelector/{field}")).and_then(Value::as_str);
        match (part("namespace"), part("name")) {
            (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
            _ => "what a selector finds".to_owned(),
        }
    };
    let kept: Vec<String> = left.iter().map(name).collect();
    let gone: Vec<String> = rules(from).iter().map(name).filter(|name| !kept.contains(name)).collect();
    if gone.is_empty() { Vec::new() } else { vec![format!("no longer {words} {}: {}", key.name, gone.join(", "))] }
}

fn control_plane(from: &Value, to: Option<&Value>) -> Vec<String> {
    let Some(to) = to else { return vec!["takes the control plane away".to_owned()] };
    let mut found = Vec::new();
    let domain = "/spec/security/trust/domain";
    if from.pointer(domain).is_some() && from.pointer(domain) != to.pointer(domain) {
        found.push("another trust domain: all identities of the mesh are issued anew, and every peer must follow".to_owned());
    }
    for side in ["additionalIngress", "additionalEgress"] {
        let gateways = |value: &Value| {
            value.pointer(&format!("/spec/gateways/{side}")).and_then(Value::as_object).cloned().unwrap_or_default()
        };
        let left = gateways(to);
        found.extend(
            gateways(from).keys().filter(|name| !left.contains_key(*name)).map(|name| format!("takes the gateway {name} away")),
        );
    }
    found
}
