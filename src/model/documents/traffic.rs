//! `spec` of a Traffic.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::at::At;

/// Where requests for one service go.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct TrafficSpec {
    /// `namespace/name` of the local Service that clients call.
    #[schemars(required)]
    pub service: Option<At<String>>,
    /// Requests that go elsewhere than the rest; the first that matches wins.
    pub matches: Vec<At<MatchSpec>>,
    /// Where all other requests go; weights sum to 100. Default: the service itself, if anything else is declared.
    pub routes: Vec<At<RouteSpec>>,
    /// Where copies of its requests go; answers are thrown away.
    pub mirror: Option<At<MirrorSpec>>,
    /// Peers that take over when no endpoint here answers.
    pub failover: Option<At<FailoverSpec>>,
    /// When an endpoint that answers with errors is left out for a while; with `failover` always, else only if declared.
    pub outlier_detection: Option<OutlierDetectionSpec>,
    /// How long a request may take with all its retries, as `3s`; default: as long as it needs.
    pub timeout: Option<At<String>>,
    /// How often a request is tried again; default: as the control plane does it.
    pub retries: Option<RetriesSpec>,
    /// Labels of each subset; default: `version` is the subset's name.
    pub subsets: BTreeMap<String, BTreeMap<String, String>>,
    /// What becomes of the weight of a service that is not there.
    pub when_unavailable: WhenUnavailable,
}

/// What becomes of the weight of a service that is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenUnavailable {
    /// The other routes take it in proportion.
    #[default]
    Redistribute,
    /// It stays, and its requests fail.
    Keep,
}

/// Requests that meet every condition, and where they go.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct MatchSpec {
    /// Conditions on headers, by the header's name in lower case.
    pub headers: BTreeMap<String, TextMatchSpec>,
    /// Condition on the path.
    pub uri: Option<TextMatchSpec>,
    /// Where these requests go; weights sum to 100.
    #[schemars(required)]
    pub routes: Vec<At<RouteSpec>>,
}

/// A condition on a text.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TextMatchSpec {
    /// It is this.
    Exact(At<String>),
    /// It begins with this.
    Prefix(At<String>),
    /// This regular expression (RE2) describes all of it.
    Regex(At<String>),
}

/// One destination with its weight: `local`, or `peer` and `service`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RouteSpec {
    /// The service here.
    #[serde(default)]
    pub local: Option<LocalSpec>,
    /// Peer that offers the service.
    #[serde(default)]
    pub peer: Option<At<String>>,
    /// `namespace/name` that it is imported as.
    #[serde(default)]
    pub service: Option<At<String>>,
    /// Read only to say where subsets belong.
    #[serde(default)]
    #[schemars(skip)]
    pub subset: Option<At<String>>,
    /// Share of the requests in percent; a lone route may leave it out.
    #[serde(default)]
    pub weight: Option<At<u32>>,
}

/// The service here, or one subset of it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LocalSpec {
    /// Subset.
    #[serde(default)]
    pub subset: Option<At<String>>,
}

/// Where copies go: `local`, or `peer` and `service`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MirrorSpec {
    /// The service here.
    #[serde(default)]
    pub local: Option<LocalSpec>,
    /// Peer that offers the service.
    #[serde(default)]
    pub peer: Option<At<String>>,
    /// `namespace/name` that it is imported as.
    #[serde(default)]
    pub service: Option<At<String>>,
    /// Read only to say where subsets belong.
    #[serde(default)]
    #[schemars(skip)]
    pub subset: Option<At<String>>,
    /// Share of the requests to copy, in percent; default 100.
    #[serde(default)]
    pub percentage: Option<At<f64>>,
}

/// Peers that take over.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FailoverSpec {
    /// Peers from which this service is imported `asLocal`: the first takes over, and if it fails too, all others together.
    pub to: Vec<At<String>>,
}

/// When an endpoint that answers with errors is left out for a while.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct OutlierDetectionSpec {
    /// Errors (5xx) one after the other until it is left out; default 2.
    pub consecutive_5xx_errors: Option<At<u32>>,
    /// Time between two looks at the endpoints; default `10s`.
    pub interval: Option<At<String>>,
    /// How long it is left out the first time; default `1m`.
    pub base_ejection_time: Option<At<String>>,
    /// How many endpoints may be left out at once, in percent; default 100.
    pub max_ejection_percent: Option<At<u32>>,
}

/// How often a request is tried again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RetriesSpec {
    /// Number of retries; 0 turns them off.
    pub attempts: At<u32>,
    /// How long each try may take, as `2s`; default: `timeout`.
    #[serde(default)]
    pub per_try_timeout: Option<At<String>>,
    /// What is tried again, separated by commas, as Istio's `retryOn`: conditions of Envoy and status codes.
    #[serde(default)]
    pub retry_on: Option<At<String>>,
}
