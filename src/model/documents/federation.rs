//! `spec` of a Federation.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::at::At;

/// What holds for all meshes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct FederationSpec {
    /// Ranges of addresses (CIDR) that meshes may publish although they are loopback or link-local; for labs.
    pub allow_addresses: Vec<At<String>>,
    /// Which new CA roots of a peer are believed, where its Peer document says nothing; default `continuous`, or `follow`
    /// without enforced verification.
    pub ca_policy: Option<CaPolicy>,
    /// How much one change may delete in a mesh before its agent asks for a person's word.
    pub guards: GuardsSpec,
    /// When weight flows to a peer; for control planes with another resync period than the usual minute.
    pub gating: GatingSpec,
}

/// Which CA roots are believed of those that a peer's agent publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CaPolicy {
    /// All: the published branch is trusted as the repository's host is.
    Follow,
    /// A set that shares a root with the one in use, or whose new roots are vouched for by it, by the peer's people (`ca.roots` of its Mesh) or by
    /// `acceptRoots`. Another one is held, and the old roots stay.
    Continuous,
    /// Only roots that are listed in `acceptRoots`.
    Pinned,
}

/// Shares like `50%`, of what the agent of a mesh looks after. More than that is deleted only by a commit with the trailer
/// `Meshfed-Allow-Delete: <mesh>`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct GuardsSpec {
    /// Share of the peerings of a mesh, 50% where it is not given. One may always go.
    pub peerings: Option<At<String>>,
    /// Share of its other objects, of all together and of those of each kind, 50% where it is not given. Ten may always go.
    pub objects: Option<At<String>>,
}

/// When weight flows to a peer. Durations like `90s` or `3m`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct GatingSpec {
    /// How old the last full synchronisation with a connected peer may be before its weight goes elsewhere; default `3m`, which is three
    /// resyncs of the control plane.
    pub stale_after: Option<At<String>>,
    /// How long a peer that was away must be well before it gets its weight back; default `30s`. It doubles each time that the peer goes
    /// away again, up to 32 times as long, and is forgotten after twice that without a lapse.
    pub settle: Option<At<String>>,
}
