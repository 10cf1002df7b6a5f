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
}
