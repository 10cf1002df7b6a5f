//! `spec` of a Mesh.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::LocalitySpec;
use crate::model::at::At;

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
    pub ingress: Option<At<IngressSpec>>,
    /// The mesh's own CA, for a rotation that people plan.
    pub ca: CaSpec,
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
    /// Its `spec`; gateways for peers and the trust domain are added. What it says of such a gateway counts.
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

/// The mesh's own CA.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct CaSpec {
    /// CA certificates (PEM) that peers are to trust beside what the control plane shows: the next root before it is switched to,
    /// an intermediate that cannot be discovered. Never a private key.
    pub roots: Vec<At<String>>,
    /// How long a root that the control plane has replaced stays published, as `36h`: not less than the life of the certificates
    /// that it signed; default `24h`, istiod's default for workloads.
    pub overlap: Option<At<String>>,
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
    /// Commits on the mesh's published branch that its agent did not make (whole ids). They are passed over, so that the branch goes on
    /// after them without being rewritten. Also commits of its agent that nobody has any more: the branch then goes on from what is there.
    pub disowned: Vec<At<String>>,
}
