//! JSON Schemas of the documents, made from the types that read them, so that editors and the agent agree.

use schemars::generate::SchemaSettings;

use super::documents::{FederationDocument, MeshDocument, PeerDocument, TrafficDocument, TrustPolicyDocument};

/// File name and text of every schema, in the order of their names.
pub fn all() -> Vec<(&'static str, String)> {
    let generate = || SchemaSettings::draft07().into_generator(); // the draft that YAML language servers know best
    let text = |schema: schemars::Schema| format!("{:#}\n", schema.to_value());
    vec![
        ("federation.json", text(generate().into_root_schema_for::<FederationDocument>())),
        ("mesh.json", text(generate().into_root_schema_for::<MeshDocument>())),
        ("peer.json", text(generate().into_root_schema_for::<PeerDocument>())),
        ("traffic.json", text(generate().into_root_schema_for::<TrafficDocument>())),
        ("trust-policy.json", text(generate().into_root_schema_for::<TrustPolicyDocument>())),
    ]
}
