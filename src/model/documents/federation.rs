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
    /// How much one change may delete in a mesh before its agent asks for a person's word.
    pub guards: GuardsSpec,
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
