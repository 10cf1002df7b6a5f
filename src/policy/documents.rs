//! ValidatingAdmissionPolicy and its binding as people write them (`admissionregistration.k8s.io/v1`). An unknown field is an error: a
//! misspelt `matchConditions` must not make a policy say less than its author thinks.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::model::At;

/// `apiVersion` of both kinds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) enum ApiVersion {
    #[serde(rename = "admissionregistration.k8s.io/v1")]
    V1,
}

/// A policy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct PolicyDocument {
    #[serde(rename = "apiVersion")]
    pub _api_version: ApiVersion,
    #[serde(rename = "kind")]
    pub _kind: String,
    pub metadata: Metadata,
    pub spec: PolicySpec,
}

/// What is said about a document besides its content; the API server takes any of it.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    pub name: At<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct PolicySpec {
    #[serde(default)]
    pub param_kind: Option<At<ParamKind>>,
    pub match_constraints: At<MatchResources>,
    #[serde(default)]
    pub validations: Vec<ValidationSpec>,
    #[serde(default)]
    pub failure_policy: Option<At<FailurePolicy>>,
    #[serde(default)]
    pub audit_annotations: Option<At<Value>>,
    #[serde(default)]
    pub match_conditions: Vec<Named>,
    #[serde(default)]
    pub variables: Vec<Named>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ParamKind {
    pub api_version: String,
    pub kind: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum FailurePolicy {
    Fail,
    Ignore,
}

/// A condition or a variable.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    pub name: At<String>,
    pub expression: At<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ValidationSpec {
    pub expression: At<String>,
    #[serde(default)]
    pub message: Option<String>,
    #[serde(default)]
    pub message_expression: Option<At<String>>,
    #[serde(default, rename = "reason")]
    pub _reason: Option<String>,
}

/// Which objects are meant.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct MatchResources {
    pub resource_rules: Vec<ResourceRule>,
    pub exclude_resource_rules: Vec<ResourceRule>,
    pub match_policy: MatchPolicy,
    pub namespace_selector: Option<Selector>,
    pub object_selector: Option<Selector>,
}

impl MatchResources {
    /// The resources that its rules name, each once.
    pub fn resources(&self) -> Vec<String> {
        let mut all: Vec<String> = self.resource_rules.iter().flat_map(|rule| rule.resources.iter().cloned()).collect();
        all.sort();
        all.dedup();
        all
    }
}

/// Whether another version of the same resource is meant too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum MatchPolicy {
    Exact,
    #[default]
    Equivalent,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ResourceRule {
    pub api_groups: Vec<String>,
    pub api_versions: Vec<String>,
    pub operations: Vec<RuleOperation>,
    pub resources: Vec<String>,
    #[serde(default)]
    pub resource_names: Vec<String>,
    #[serde(default)]
    pub scope: Scope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum RuleOperation {
    #[serde(rename = "CREATE")]
    Create,
    #[serde(rename = "UPDATE")]
    Update,
    #[serde(rename = "DELETE")]
    Delete,
    #[serde(rename = "CONNECT")]
    Connect,
    #[serde(rename = "*")]
    All,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum Scope {
    Cluster,
    Namespaced,
    #[default]
    #[serde(rename = "*")]
    All,
}

/// Kubernetes' `LabelSelector`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Selector {
    pub match_labels: BTreeMap<String, String>,
    pub match_expressions: Vec<Requirement>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Requirement {
    pub key: String,
    pub operator: SelectorOperator,
    #[serde(default)]
    pub values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum SelectorOperator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

/// A binding.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct BindingDocument {
    #[serde(rename = "apiVersion")]
    pub _api_version: ApiVersion,
    #[serde(rename = "kind")]
    pub _kind: String,
    #[serde(rename = "metadata")]
    pub _metadata: Metadata,
    pub spec: BindingSpec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct BindingSpec {
    pub policy_name: At<String>,
    pub validation_actions: Vec<Action>,
    #[serde(default)]
    pub match_resources: Option<MatchResources>,
    #[serde(default)]
    pub param_ref: Option<At<ParamRef>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Action {
    Deny,
    Warn,
    Audit,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ParamRef {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub namespace: Option<String>,
    #[serde(default)]
    pub selector: Option<Selector>,
    #[serde(default)]
    pub parameter_not_found_action: Option<NotFound>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum NotFound {
    Allow,
    Deny,
}
