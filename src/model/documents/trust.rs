//! `spec` of a TrustPolicy.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ApiVersion, Metadata};
use crate::model::at::At;

/// The `kind` field of this document.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub enum TrustPolicyKind {
    #[allow(missing_docs, reason = "the name says all")]
    #[serde(rename = "TrustPolicy")]
    Kind,
}

/// `trust/policy.yaml`: who may change which paths of `main`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TrustPolicyDocument {
    /// Always `meshfed.dev/v1alpha1`.
    pub api_version: ApiVersion,
    /// Kind of document.
    pub kind: TrustPolicyKind,
    /// May be left out: there is one policy.
    #[serde(default)]
    pub metadata: Option<Metadata>,
    /// What is declared.
    pub spec: TrustPolicySpec,
}

/// Roles, and what they may change. What no rule names, nobody may change.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TrustPolicySpec {
    /// Names in `trust/allowed_signers` by role. The role `root` must be there; its members accept bad commits.
    pub roles: BTreeMap<String, Vec<At<String>>>,
    /// For each path the first rule with a pattern that matches it decides.
    pub rules: Vec<TrustRuleSpec>,
}

/// Who may change some paths.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TrustRuleSpec {
    /// Patterns of whole paths: `*` is any part of one name, `**` any number of names (at the end at least one), and
    /// `{mesh}` any one name, which `allow` can then mention.
    pub paths: Vec<At<String>>,
    /// Roles; `{mesh}` is the role of the name that stood at its place in the path.
    pub allow: Vec<At<String>>,
}
