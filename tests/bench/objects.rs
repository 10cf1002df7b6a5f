//! The objects that are applied: kinds and sizes as a mesh's folder has them.

use serde_json::{Value, json};

/// Numbers of a kind by turns: of five objects two are ConfigMaps.
const KINDS: usize = 5;

/// Object `number` in a namespace. `revision` is what a change changes.
pub fn object(namespace: &str, number: usize, revision: usize) -> Value {
    let metadata = |kind: &str| {
        json!({
            "name": format!("{kind}-{number}"), "namespace": namespace,
            "labels": {"app.kubernetes.io/name": format!("app-{number}"), "team": format!("team-{}", number % 7)},
            "annotations": {"example.com/revision": revision.to_string()},
        })
    };
    let host = format!("app-{number}.{namespace}.svc.cluster.local");
    match number % KINDS {
        0 | 1 => json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("settings"),
            "data": {"application.yaml": settings(number), "revision": revision.to_string()},
        }),
        2 => json!({
            "apiVersion": "networking.istio.io/v1beta1", "kind": "ServiceEntry", "metadata": metadata("entry"),
            "spec": {
                "hosts": [format!("api-{number}.example.com")], "location": "MESH_EXTERNAL", "resolution": "DNS",
                "exportTo": ["."],
                "ports": [{"number": 443, "name": "https", "protocol": "TLS"}, {"number": 80, "name": "http", "protocol": "HTTP"}],
            },
        }),
        3 => json!({
            "apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService", "metadata": metadata("route"),
            "spec": {"hosts": [host], "http": [
                {
                    "match": [{"headers": {"end-user": {"exact": "jason"}}, "uri": {"prefix": "/api"}}],
                    "route": [{"destination": {"host": host, "subset": "v2", "port": {"number": 9080}}}],
                    "timeout": "5s", "retries": {"attempts": 3, "perTryTimeout": "2s", "retryOn": "5xx,connect-failure"},
                },
                {"route": [
                    {"destination": {"host": host, "subset": "v1", "port": {"number": 9080}}, "weight": 80},
                    {"destination": {"host": host, "subset": "v2", "port": {"number": 9080}}, "weight": 20},
                ]},
            ]},
        }),
        _ => json!({
            "apiVersion": "networking.istio.io/v1beta1", "kind": "DestinationRule", "metadata": metadata("policy"),
            "spec": {
                "host": host,
                "trafficPolicy": {
                    "connectionPool": {"tcp": {"maxConnections": 100}, "http": {"http1MaxPendingRequests": 10}},
                    "outlierDetection": {"consecutive5xxErrors": 5, "interval": "30s", "baseEjectionTime": "30s"},
                },
                "subsets": [{"name": "v1", "labels": {"version": "v1"}}, {"name": "v2", "labels": {"version": "v2"}}],
            },
        }),
    }
}

/// API version, kind and plural of everything that [`object`] makes.
pub const RESOURCES: [(&str, &str, &str); 4] = [
    ("v1", "ConfigMap", "configmaps"),
    ("networking.istio.io/v1beta1", "ServiceEntry", "serviceentries"),
    ("networking.istio.io/v1beta1", "VirtualService", "virtualservices"),
    ("networking.istio.io/v1beta1", "DestinationRule", "destinationrules"),
];

/// The kind of object `number`.
pub fn kind(number: usize) -> &'static str {
    match number % KINDS {
        0 | 1 => "ConfigMap",
        2 => "ServiceEntry",
        3 => "VirtualService",
        _ => "DestinationRule",
    }
}

/// The ConfigMaps among the first `count` objects, which are those that are changed.
pub fn config_maps(count: usize) -> impl Iterator<Item = usize> {
    (0..count).filter(|number| kind(*number) == "ConfigMap")
}

/// Name of the ConfigMap with this number.
pub fn config_map_name(number: usize) -> String {
    format!("settings-{number}")
}

/// The document as a file.
pub fn yaml(object: &Value) -> String {
    serde_saphyr::to_string(object).expect("JSON can be written as YAML")
}

/// About a kibibyte, as settings of a small service are.
fn settings(number: usize) -> String {
    let line = |line| format!("server.pool.{line}: value-{number}-{line} # what a service reads at its start");
    (0..20).map(line).collect::<Vec<_>>().join("\n")
}
