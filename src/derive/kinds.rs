//! The kinds that are derived or read, and identities of objects among them.

use crate::object::{Key, Kind};

/// `v1` Namespace.
pub const NAMESPACE: (&str, &str) = ("v1", "Namespace");
/// `v1` ConfigMap.
pub const CONFIG_MAP: (&str, &str) = ("v1", "ConfigMap");
/// `v1` Service.
pub const SERVICE: (&str, &str) = ("v1", "Service");
/// OLM's Subscription.
pub const SUBSCRIPTION: (&str, &str) = ("operators.coreos.com/v1alpha1", "Subscription");
/// OSSM 2.x control plane.
pub const CONTROL_PLANE: (&str, &str) = ("maistra.io/v2", "ServiceMeshControlPlane");
/// OSSM 2.x membership of one namespace.
pub const MEMBER: (&str, &str) = ("maistra.io/v1", "ServiceMeshMember");
/// OSSM 2.x list of all members.
pub const MEMBER_ROLL: (&str, &str) = ("maistra.io/v1", "ServiceMeshMemberRoll");
/// OSSM 2.x federation peer.
pub const PEER: (&str, &str) = ("federation.maistra.io/v1", "ServiceMeshPeer");
/// OSSM 2.x exports to one peer.
pub const EXPORTED: (&str, &str) = ("federation.maistra.io/v1", "ExportedServiceSet");
/// OSSM 2.x imports from one peer.
pub const IMPORTED: (&str, &str) = ("federation.maistra.io/v1", "ImportedServiceSet");
/// Istio routing; `v1beta1` is the newest version that OSSM 2.x and current Istio both serve.
pub const VIRTUAL_SERVICE: (&str, &str) = ("networking.istio.io/v1beta1", "VirtualService");
/// Istio subsets and load balancing.
pub const DESTINATION_RULE: (&str, &str) = ("networking.istio.io/v1beta1", "DestinationRule");

/// One of the kinds above.
pub fn kind((api_version, kind): (&str, &str)) -> Kind {
    Kind::new(api_version, kind)
}

/// Identity of a namespaced object of one of the kinds above.
pub fn key(of: (&str, &str), namespace: &str, name: &str) -> Key {
    Key::new(&kind(of), Some(namespace), name)
}

/// Identity of a Namespace.
pub fn namespace(name: &str) -> Key {
    Key::new(&kind(NAMESPACE), None, name)
}

/// Name of the ConfigMap with a peer's roots: what the control plane looks for when a peer names none
/// (maistra/istio pkg/servicemesh/federation/common).
pub fn roots_name(peer: &str) -> String {
    format!("{peer}-ca-root-cert")
}

/// ConfigMap in which istiod gives its own root to the namespaces of its mesh (istio pilot namespacecontroller).
pub const OWN_ROOTS_NAME: &str = "istio-ca-root-cert";

/// Its key, and that of every peer's ConfigMap.
pub const ROOTS_KEY: &str = "root-cert.pem";

/// Label on an ingress gateway's Service with the peer that it serves (OSSM federation samples).
pub const INGRESS_FOR: &str = "federation.maistra.io/ingress-for";

/// Label on an egress gateway's Service with the peer that it serves.
pub const EGRESS_FOR: &str = "federation.maistra.io/egress-for";
