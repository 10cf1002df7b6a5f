//! Documents as they are written. What they mean, `model::documents` says.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::model::documents::API_VERSION;

#[derive(Serialize)]
struct Document<'a, S> {
    #[serde(rename = "apiVersion")]
    api_version: &'a str,
    kind: &'a str,
    metadata: BTreeMap<&'a str, &'a str>,
    spec: &'a S,
}

/// The text of a document. One that cannot be written is empty, and refused where it is read.
pub(super) fn write<S: Serialize>(kind: &str, name: &str, spec: &S) -> String {
    let document = Document { api_version: API_VERSION, kind, metadata: BTreeMap::from([("name", name)]), spec };
    serde_saphyr::to_string(&document).unwrap_or_default()
}

/// `spec` of a Mesh.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MeshSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_domain: Option<String>,
    pub members: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub create_namespaces: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<ControlPlane>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locality: Option<Value>,
    #[serde(skip_serializing_if = "Ingress::is_usual")]
    pub ingress: Ingress,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// How peers reach a mesh, where it is not the usual way.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ingress {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub service_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_port: Option<u16>,
}

impl Ingress {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// Where the control plane is, and what it has besides what is derived.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct ControlPlane {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Value>,
}

/// `spec` of a Peer.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PeerSpec {
    #[serde(skip_serializing_if = "Gateways::is_default")]
    pub gateways: Gateways,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<Export>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<Import>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub accept_roots: BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locality: Option<Value>,
}

/// Names of gateways that are not the default ones.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Gateways {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<String>,
}

impl Gateways {
    fn is_default(&self) -> bool {
        self.ingress.is_none() && self.egress.is_none()
    }
}

/// A service, or all that a selector finds.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Export {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
}

/// Another name for a service.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Alias {
    pub service: String,
    #[serde(rename = "as")]
    pub alias: String,
}

/// What is taken of a peer.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Import {
    pub service: String,
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub as_local: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain_suffix: Option<String>,
}

/// `spec` of a Traffic.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TrafficSpec {
    pub service: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Match>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Route>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover: Option<BTreeMap<&'static str, Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlier_detection: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub subsets: BTreeMap<String, Value>,
}

/// Requests that go elsewhere than the rest.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Match {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<Value>,
    pub routes: Vec<Route>,
}

/// A destination with its share.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Route {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<BTreeMap<&'static str, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage: Option<f64>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !*value
}
