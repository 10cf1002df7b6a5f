//! The documents as people write them. Shapes only: `convert` turns them into what the rest of the program uses.
//!
//! Doc comments here become descriptions in the JSON Schemas that editors show.

mod federation;
mod mesh;
mod peer;
mod traffic;
mod trust;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::at::At;
pub use federation::*;
pub use mesh::*;
pub use peer::*;
pub use traffic::*;
pub use trust::*;

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
    /// Labels, for policies to look at.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
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
