//! The documents as people write them. Shapes only: `convert` turns them into what the rest of the program uses.
//!
//! Doc comments here become descriptions in the JSON Schemas that editors show.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::at::At;

/// `apiVersion` of every document.
pub const API_VERSION: &str = "meshfed.dev/v1alpha1";

/// The one `apiVersion` there is.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// First version; may still change.
    #[serde(rename = "meshfed.dev/v1alpha1")]
    V1Alpha1,
}

/// `metadata` of a document.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Metadata {
    /// Name; the same as that of the file or folder that the document lies in.
    pub name: At<String>,
}

macro_rules! document {
    ($(#[$doc:meta])* $document:ident, $kind:ident, $name:literal, $spec:ty) => {
        /// The `kind` field of this document.
        #[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
        pub enum $kind {
            #[allow(missing_docs, reason = "the name says all")]
            #[serde(rename = $name)]
            Kind,
        }
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        pub struct $document {
            /// Always `meshfed.dev/v1alpha1`.
            pub api_version: ApiVersion,
            /// Kind of document.
            pub kind: $kind,
            /// Name.
            pub metadata: Metadata,
            /// What is declared.
            #[serde(default)]
            pub spec: $spec,
        }
    };
}

document!(
    /// `federation.yaml`: what holds for all meshes.
    FederationDocument, FederationKind, "Federation", FederationSpec
);
document!(
    /// `meshes/<mesh>/mesh.yaml`: one control plane with its members.
    MeshDocument, MeshKind, "Mesh", MeshSpec
);
document!(
    /// `meshes/<mesh>/peers/<peer>.yaml`: this mesh's half of a peering.
    PeerDocument, PeerKind, "Peer", PeerSpec
);
document!(
    /// `meshes/<mesh>/traffic/<name>.yaml`: where requests for one service go.
    TrafficDocument, TrafficKind, "Traffic", TrafficSpec
);

/// What holds for all meshes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct FederationSpec {
    /// Ranges of addresses (CIDR) that meshes may publish although they are loopback or link-local; for labs.
    pub allow_addresses: Vec<At<String>>,
}

/// One control plane with its members.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct MeshSpec {
    /// Name of the cluster, for people and for the check that no peer has the control plane's own cluster name.
    pub cluster: Option<At<String>>,
    /// `metadata.uid` of the Namespace `kube-system`; an agent in another cluster then refuses to act as this mesh.
    #[serde(rename = "clusterUID")]
    pub cluster_uid: Option<At<String>>,
    /// Trust domain (`spec.security.trust.domain` of the control plane): unique in the federation, never changed on a live mesh.
    #[schemars(required)]
    pub trust_domain: Option<At<String>>,
    /// Namespaces whose services belong to the mesh.
    pub members: Vec<At<String>>,
    /// Create the control plane's namespace and the members where they are missing.
    pub create_namespaces: bool,
    /// Where the control plane is.
    pub control_plane: ControlPlaneSpec,
    /// Where the cluster runs; `aws` gives the ingress gateways a network load balancer.
    pub platform: Platform,
    /// Where the workloads run, as the nodes' topology labels say.
    pub locality: Option<LocalitySpec>,
    /// How peers reach this mesh.
    pub ingress: IngressSpec,
    /// Operators (OLM Subscriptions) to ensure.
    pub operators: Vec<OperatorSpec>,
    /// The agent of this mesh.
    pub agent: AgentSpec,
    /// Stop all changes in this mesh and keep what is there.
    pub suspend: bool,
}

/// Where the control plane is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct ControlPlaneSpec {
    /// Namespace of the `ServiceMeshControlPlane`; default: the mesh's name.
    pub namespace: Option<At<String>>,
    /// Its name; default: the mesh's name.
    pub name: Option<At<String>>,
    /// The rest of the `ServiceMeshControlPlane`. With it the agent creates the control plane; without it, it waits for one.
    pub base: Option<BaseSpec>,
}

/// The part of a `ServiceMeshControlPlane` that is not derived.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct BaseSpec {
    /// Allowed so that a whole document can be pasted; always `maistra.io/v2`.
    #[serde(default)]
    pub api_version: Option<String>,
    /// Allowed so that a whole document can be pasted; always `ServiceMeshControlPlane`.
    #[serde(default)]
    pub kind: Option<String>,
    /// Its labels and annotations; the name is that of the control plane.
    #[serde(default)]
    pub metadata: BaseMetadata,
    /// Its `spec`; gateways for peers and the trust domain are added.
    pub spec: At<serde_json::Map<String, serde_json::Value>>,
}

/// Labels and annotations of a `ServiceMeshControlPlane`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct BaseMetadata {
    /// Allowed so that a whole document can be pasted; must be the control plane's.
    pub name: Option<At<String>>,
    /// The same for its namespace.
    pub namespace: Option<At<String>>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Where a cluster runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Amazon, ROSA: ingress gateways need a network load balancer.
    Aws,
    /// Azure, ARO.
    Azure,
    /// Google.
    Gcp,
    /// Own machines.
    Baremetal,
    /// Anything else.
    #[default]
    Other,
}

impl Platform {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::Gcp => "gcp",
            Self::Baremetal => "baremetal",
            Self::Other => "other",
        }
    }
}

/// A place, from large to small.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LocalitySpec {
    /// `topology.kubernetes.io/region` of the nodes.
    pub region: At<String>,
    /// `topology.kubernetes.io/zone`.
    #[serde(default)]
    pub zone: Option<At<String>>,
    /// `topology.istio.io/subzone`; needs a zone.
    #[serde(default)]
    pub subzone: Option<At<String>>,
}

/// How peers reach a mesh.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct IngressSpec {
    /// Type of the ingress gateways' Services.
    #[serde(rename = "type")]
    pub service_type: ServiceType,
    /// Annotations of the ingress gateways' Services.
    pub annotations: BTreeMap<String, String>,
    /// Addresses to publish instead of what the cluster says: for NodePort, private networks, a proxy in front.
    pub addresses: Vec<At<String>>,
    /// Port at these addresses that leads to 8188.
    pub discovery_port: Option<At<u16>>,
    /// Port at these addresses that leads to 15443.
    pub service_port: Option<At<u16>>,
}

/// Type of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// A load balancer of the cloud; it must work on layer 4.
    #[default]
    LoadBalancer,
    /// A port on every node; needs `addresses`.
    NodePort,
    /// Reachable in the cluster only.
    ClusterIP,
}

/// An operator to ensure through OLM.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct OperatorSpec {
    /// Package and Subscription name, as `servicemeshoperator`.
    pub name: At<String>,
    /// Namespace of the Subscription; default `openshift-operators`.
    #[serde(default)]
    pub namespace: Option<At<String>>,
    /// Update channel; default `stable`.
    #[serde(default)]
    pub channel: Option<String>,
    /// Catalogue; default `redhat-operators`.
    #[serde(default)]
    pub source: Option<String>,
    /// Namespace of the catalogue; default `openshift-marketplace`.
    #[serde(default)]
    pub source_namespace: Option<String>,
    /// Exact version to start with.
    #[serde(default, rename = "startingCSV")]
    pub starting_csv: Option<String>,
}

/// The agent of a mesh.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct AgentSpec {
    /// Public keys (OpenSSH lines) that sign the mesh's published branch.
    pub keys: Vec<At<String>>,
}

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
    /// Where the peer's services count as running; default: the locality in the peer's Mesh.
    pub locality: Option<LocalitySpec>,
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
}

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
