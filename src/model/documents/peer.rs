//! `spec` of a Peer.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{CaPolicy, LocalitySpec};
use crate::model::at::At;

/// This mesh's half of a peering.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct PeerSpec {
    /// This side's gateways for this peer.
    pub gateways: GatewaysSpec,
    /// What the peer may use.
    pub exports: Vec<ExportSpec>,
    /// What this mesh takes of what the peer offers.
    pub imports: Vec<ImportSpec>,
    /// SHA-256 fingerprints of CA roots of the peer that people have checked, as `openssl x509 -fingerprint -sha256` prints them.
    pub accept_roots: Vec<At<String>>,
    /// Which new CA roots of the peer are believed; default: that of the Federation.
    pub ca_policy: Option<CaPolicy>,
    /// Believe other CA roots than those in use only once the peer's ingress has shown a certificate from them; the agent must be able to
    /// dial it.
    pub probe: bool,
    /// Where the peer's services count as running; default: the locality in the peer's Mesh.
    pub locality: Option<LocalitySpec>,
    /// Stop all changes to what belongs to this peer and keep it; weights still follow its health.
    pub suspend: bool,
}

/// This side's gateways for one peer; never shared between peers.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct GatewaysSpec {
    /// Name of the ingress; default `<peer>-ingress`.
    pub ingress: Option<At<String>>,
    /// Name of the egress; default `<peer>-egress`.
    pub egress: Option<At<String>>,
}

/// One service, or all that a selector finds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExportSpec {
    /// `namespace/name` of a Service here.
    #[serde(default)]
    pub service: Option<At<String>>,
    /// `namespace/name` that the peer sees instead.
    #[serde(default, rename = "as")]
    pub alias: Option<At<String>>,
    /// Services by their labels, instead of `service`.
    #[serde(default)]
    pub selector: Option<SelectorSpec>,
    /// Other names for services that the selector finds.
    #[serde(default)]
    pub aliases: Vec<AliasSpec>,
}

/// Services of one namespace by their labels.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SelectorSpec {
    /// Namespace of the Services.
    pub namespace: At<String>,
    /// Labels that they carry.
    #[serde(default)]
    pub match_labels: BTreeMap<String, String>,
    /// Conditions on their labels.
    #[serde(default)]
    pub match_expressions: Vec<ExpressionSpec>,
}

/// A condition on labels, as in Kubernetes' `LabelSelector`.
#[derive(Clone, Debug, Deserialize, serde::Serialize, PartialEq, Eq, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExpressionSpec {
    /// Label.
    pub key: String,
    /// How to compare.
    pub operator: Operator,
    /// What to compare with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// Operators of Kubernetes' `LabelSelector`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[allow(missing_docs, reason = "Kubernetes' own words")]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

/// Another name for one service.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AliasSpec {
    /// `namespace/name` here.
    pub service: At<String>,
    /// `namespace/name` that the peer sees.
    #[serde(rename = "as")]
    pub alias: At<String>,
}

/// What to take of what the peer offers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ImportSpec {
    /// `namespace/name` under which the peer exports it, or `*` for all.
    pub service: At<String>,
    /// `namespace/name` to import it as; default: the same.
    #[serde(default, rename = "as")]
    pub alias: Option<At<String>>,
    /// Add it to the endpoints of the local Service of that name (for failover) instead of a host of its own.
    #[serde(default)]
    pub as_local: bool,
    /// Domain of the imported host; default `svc.<peer>-imports.local`.
    #[serde(default)]
    pub domain_suffix: Option<At<String>>,
    /// Ports on which it speaks plain TCP, so that `check` finds two peers' services that cannot be told apart.
    #[serde(default)]
    pub tcp_ports: Vec<At<u16>>,
}
