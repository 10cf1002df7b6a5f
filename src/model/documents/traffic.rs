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
    /// Where its requests go; weights sum to 100.
    pub routes: Vec<At<RouteSpec>>,
    /// Where copies of its requests go; answers are thrown away.
    pub mirror: Option<At<MirrorSpec>>,
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
    /// Share of the requests in percent.
    pub weight: At<u32>,
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
    /// Share of the requests to copy, in percent; default 100.
    #[serde(default)]
    pub percentage: Option<At<f64>>,
}
