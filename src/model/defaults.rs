//! Every default of every document, in one place.

use std::time::Duration;

use super::documents::CaPolicy;

use jiff::SignedDuration;

/// Port of discovery at a mesh's ingress (maistra/istio pkg/servicemesh/federation/common `DefaultDiscoveryPort`).
pub const DISCOVERY_PORT: u16 = 8188;

/// Port of service traffic at a mesh's ingress (maistra/istio pkg/servicemesh/federation/common `DefaultServicePort`).
pub const SERVICE_PORT: u16 = 15443;

/// Ports that Kubernetes gives to Services of type NodePort unless it is told otherwise (kube-apiserver `--service-node-port-range`).
pub const NODE_PORTS: std::ops::RangeInclusive<u16> = 30000..=32767;

/// How long a root that the control plane has replaced stays published: certificates that it signed live that long (istiod's
/// default workload certificate TTL), and peers must accept them until then.
pub const CA_OVERLAP: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// Share of requests that a mirror copies, in percent (Istio VirtualService: all of them).
pub const MIRROR_PERCENTAGE: f64 = 100.0;

/// Errors in a row until an endpoint is left out, low enough that failover follows in seconds (maistra-test-tool, failover).
pub const CONSECUTIVE_5XX_ERRORS: u32 = 2;

/// Time between two looks at the endpoints (maistra-test-tool, failover).
pub const OUTLIER_INTERVAL: Duration = Duration::from_secs(10);

/// How long an endpoint is left out the first time (maistra-test-tool, failover).
pub const BASE_EJECTION_TIME: Duration = Duration::from_secs(60);

/// Endpoints that may be left out at once, in percent: all, or failover would never be complete (Istio's own default is 10).
pub const MAX_EJECTION_PERCENT: u32 = 100;

/// Which CA roots of a peer are believed, where nobody says. Without verification, whoever could make the roots on a published branch jump
/// could as well write what accepts them: the host is believed, and a rebuilt cluster is followed without a commit.
pub fn ca_policy(verified: bool) -> CaPolicy {
    if verified { CaPolicy::Continuous } else { CaPolicy::Follow }
}

/// Label that tells a Service's subsets apart (Istio's convention for `app` and `version`).
pub const SUBSET_LABEL: &str = "version";

/// OLM catalogue namespace on OpenShift.
pub const CATALOG_NAMESPACE: &str = "openshift-marketplace";

/// OLM catalogue with Red Hat's operators.
pub const CATALOG: &str = "redhat-operators";

/// OLM namespace of operators for all namespaces on OpenShift.
pub const OPERATOR_NAMESPACE: &str = "openshift-operators";

/// OLM channel.
pub const OPERATOR_CHANNEL: &str = "stable";

/// Share of a mesh's peerings that one change may delete, in percent: what people retire in one go is rarely more than half, and what
/// loses more is most often a slip (a folder moved, another branch).
pub const GUARD_PEERINGS: u8 = 50;

/// The same of its other objects.
pub const GUARD_OBJECTS: u8 = 50;
/// How old the last full synchronisation of a connected watch may be before its peer counts as away: three resyncs of istiod's federation
/// (60 s, maistra/istio `--resync`). `connected` alone lies: a watch that the peer no longer admits stays connected and hears nothing.
/// More than the 150 s after which a watch of the API server that is silent counts as broken, so that our own deafness is known before it
/// looks like the peer's.
pub const STALE_AFTER: SignedDuration = SignedDuration::from_secs(180);

/// How long a peer that has been away must be sound before it gets its weight back: a pod or a load balancer that starts and fails again
/// does so within seconds, and half a resync delays a recovery little.
pub const GATING_SETTLE: SignedDuration = SignedDuration::from_secs(30);

/// How often that time doubles for a peer that goes away again and again: up to 32 times as long, 16 minutes by default, so that a peer that
/// never stays moves weights a dozen times in its first half hour and eight times an hour after that.
pub const GATING_DOUBLINGS: u32 = 5;

/// Name of this side's ingress gateway for a peer.
pub fn ingress_gateway(peer: &str) -> String {
    format!("{peer}-ingress")
}

/// Name of this side's egress gateway for a peer.
pub fn egress_gateway(peer: &str) -> String {
    format!("{peer}-egress")
}
